# Signal 7, thrashing. Triggers: ping-pong, a tool loop at warning, repeats across agents in 30 % of the last 20 calls,
# two reverts in the last 20 Task and Thought events, bursts of errors. Two triggers with no progress in the last 20
# events are thrashing; one alone is churning. What triggers it may be said as well. Where it begins depends on all of
# them, so the stories name the agents at most.

cast human oncall

scenario two agents throw a failing call to and fro
expect thrashing critical
allow ping_pong, tool_loop, stagnation, handoffs, repeated_work, recovery info, abandoned_branch
allow handoff_fidelity info
allow origin
vary wording, tools
      09:00 left task mend active "mend the build"
      +3s left calls ci.runs {"branch":"main"} -> "run 77"
      6 times
      +3s left calls ci.logs {"run":77} -> error "404 not found"
      +3s left calls ci.logs {"run":77} -> error "404 not found"
      +3s left hands l{n} to right "you try"
      +3s right calls ci.logs {"run":77} -> error "404 not found"
      +3s right calls ci.logs {"run":77} -> error "404 not found"
      +3s right hands r{n} to left "no, you"
      end
      +9s left task mend failed

scenario a loop of failing calls and changes of mind
expect thrashing critical by fixer
allow tool_loop, stagnation, revisions, skipped info, recovery info, repeated_work
allow origin
vary wording, tools, causality, length
      09:00 fixer task mend active "mend the build"
      ... fixer
      +3s fixer calls ci.runs {"branch":"main"} -> "run 77"
      8 times
      +3s fixer thinks "the cache" claim cache "the cache is stale" low
      +3s fixer calls ci.logs {"run":77} -> error "404 not found"
      +3s fixer thinks "the token" claim token "the token is old" low
      +3s fixer calls ci.logs {"run":77} -> error "404 not found"
      end
      +9s fixer task mend failed

scenario a loop of equal answers and a burst of errors
expect thrashing critical by fixer
allow tool_loop, stagnation, recovery info, repeated_work
allow origin
vary wording, tools, causality, length
      09:00 fixer task mend active "mend the build"
      ... fixer
      +3s fixer calls ci.runs {"branch":"main"} -> "run 77"
      10 times
      +3s fixer calls ci.state {"run":77} -> "red"
      +3s fixer reports failure "the build is red"
      end
      +9s fixer task mend failed

scenario a loop alone is churning
expect nothing
allow tool_loop, stagnation, repeated_work, thrashing info
vary wording, tools, causality, length
      09:00 fixer task mend active "mend the build"
      ... fixer
      6 times
      +3s fixer calls ci.state {"run":77} -> "red"
      end
      +3s fixer calls ci.runs {"branch":"main"} -> "run 78"
      ... fixer
      +9s fixer task mend completed

scenario hard work that gets on
expect nothing
allow recovery info
vary wording, tools, length, causality
      09:00 coder task mend active "make the tests pass"
      ... coder
      8..20 times
      +9s coder calls files.edit {"path":"cart.rs","text":"try {n}"} write on cart.rs -> "written {n}"
      +9s coder calls cargo.test {"round":{n}} -> "{n} of 70 pass"
      end
      +9s coder calls cargo.test {"all":true} -> "70 of 70 pass" verifies mend passed
      ... coder
      +9s coder task mend completed

scenario some errors on the way
expect nothing
allow recovery info
vary wording, tools, length, causality
      09:00 reader task read active "read the folder"
      ... reader
      6 times
      +2s reader calls files.read {"path":"n{n}.md"} -> error "locked, {n}"
      +2s reader calls files.read {"path":"n{n}.md"} -> "note {n}"
      end
      ... reader
      +9s reader task read completed

scenario a long batch
expect nothing
vary wording, tools, causality, interleave
      09:00 reader task read active "read the folder"
      40..150 times
      +2s reader calls files.read {"path":"n{n}.md"} -> "note {n}"
      end
      +9s reader task read completed
