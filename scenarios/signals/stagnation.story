# Signal 6, stagnation. Seven events of an actor on a task without progress, proved by the seventh. Progress is a state that
# the task was not in before, a result that is new to the workflow, a claim settled with new evidence, a verdict of a
# person; its own, or what its events follow from. Where causes are left out, another agent's progress counts, so nobody
# works beside these. Silence alone is no stagnation.

cast human oncall

scenario seven thoughts and nothing done
expect stagnation at talk#7 by thinker
vary wording, length, causality
      09:00 thinker task plan active "plan the week"
      ... thinker
      7..12 times
talk  +9s thinker thinks "option {n}|idea {n}"
      end
      +9s thinker calls calendar.read {"week":2} -> "three meetings"
      ... thinker
      +9s thinker task plan completed

scenario messages without end
expect stagnation at talk#7 by clerk
vary wording, length, causality
      09:00 clerk task answer active "answer the letter"
      ... clerk
      7..10 times
talk  +9s clerk says "draft {n} of the letter|letter, version {n}"
      end
      ... clerk
      +9s clerk task answer completed

scenario errors and talk in turns
expect stagnation at talk#3 by fixer
allow recovery info, thrashing info
allow origin
vary wording, length, causality
      09:00 fixer task mend active "mend the lamp"
      ... fixer
      +9s fixer thinks "a first thought"
      3 times
      +9s fixer reports failure "fuse {n} blew"
talk  +9s fixer thinks "try fuse {n}"
      end
talk  +9s fixer thinks "enough"
      +9s fixer calls shop.find {"part":"fuse"} -> "sold out"
      +9s fixer task mend failed

scenario six thoughts and then a look
expect nothing
vary wording, length, causality
      09:00 thinker task plan active "plan the week"
      ... thinker
      6 times
      +9s thinker thinks "option {n}"
      end
      +9s thinker calls calendar.read {"week":2} -> "three meetings"
      ... thinker
      +9s thinker task plan completed

scenario a long silence
expect nothing
vary tools, wording, causality
      09:00 waiter task wait active "wait for the parcel"
      +9s waiter calls parcel.state {"id":1} -> "on its way"
      +14m waiter calls parcel.state {"id":1} -> "at the door"
      +14m waiter calls parcel.state {"id":1} -> "in hand"
      +9s waiter task wait completed

scenario thinking between looks
expect nothing
vary tools, wording, length, causality
      09:00 thinker task plan active "plan the week"
      ... thinker
      4 times
      +9s thinker thinks "option {n}"
      +9s thinker thinks "but {n}"
      +9s thinker calls calendar.read {"week":{n}} -> "{n} meetings"
      end
      ... thinker
      +9s thinker task plan completed

scenario a person decides in between
expect nothing
vary wording, length
      09:00 clerk task letter active "write the letter"
      ... clerk
      4 times
      +9s clerk thinks "draft {n}"
ask   +9s clerk says "may it go like this, version {n}?" to oncall
yes   +9s oncall defers ask "not yet, {n}"
      end
      +9s clerk task letter completed because yes

scenario every file in turn
expect nothing
vary tools, wording, causality, interleave
      09:00 reader task read active "read the folder"
      10..30 times
      +2s reader calls files.read {"path":"n{n}.md"} -> "note {n}"
      end
      +9s reader task read completed
