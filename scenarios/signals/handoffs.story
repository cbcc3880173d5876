# Signal 1, handoffs. More than 20 accepted handoffs, or a causal chain deeper than 5. Every holder does some work, so
# that a chain alone is under test and no stagnation.

scenario the work changes hands six times in a row
expect handoffs kind depth warning at last.accepted by r6, r7
vary tools, wording, causality, length, interleave
     09:00 r1 task case active "settle the claim"
     ... r1
     +9s r1 calls claim.page {"p":1} -> "page one"
     +9s r1 hands h1 to r2 "yours|please go on"
     +9s r2 calls claim.page {"p":2} -> "page two"
     +9s r2 hands h2 to r3
     +9s r3 calls claim.page {"p":3} -> "page three"
     +9s r3 hands h3 to r4
     +9s r4 calls claim.page {"p":4} -> "page four"
     +9s r4 hands h4 to r5
     +9s r5 calls claim.page {"p":5} -> "page five"
     +9s r5 hands h5 to r6
     +9s r6 calls claim.page {"p":6} -> "page six"
last +9s r6 hands h6 to r7
     +9s r7 calls claim.page {"p":7} -> "page seven"
     ... r7
     +9s r7 task case completed

scenario one agent hands out more than twenty pieces
expect handoffs kind count warning at piece#21.accepted by boss, worker21
allow abandoned_branch, sync_bottleneck
vary tools, wording, length
      09:00 boss task all active "label every picture"
      ... boss
      21..24 times
piece +9s boss hands p{n} to worker{n} "picture {n}"
      +9s worker{n} calls picture.see {"n":{n}} -> "a cat, number {n}"
      +5s worker{n} task picture{n} completed
      end
      +9s boss task all completed

scenario seven deep and back again
expect handoffs kind depth warning at last.accepted by f, g
allow ping_pong, stagnation
vary tools, wording, length, causality
     09:00 a task case active "answer the audit"
     ... a
     +9s a hands h1 to b
     +9s b calls ledger.row {"r":1} -> "row 1"
     +9s b hands h2 to c
     +9s c calls ledger.row {"r":2} -> "row 2"
     +9s c hands h3 to d
     +9s d calls ledger.row {"r":3} -> "row 3"
     +9s d hands h4 to e
     +9s e calls ledger.row {"r":4} -> "row 4"
     +9s e hands h5 to f
     +9s f calls ledger.row {"r":5} -> "row 5"
last +9s f hands h6 to g
     +9s g calls ledger.row {"r":6} -> "row 6"
     +9s g hands h7 to a
     +9s a task case completed

scenario five deep is as deep as it may be
expect nothing
vary tools, wording, causality, length, interleave
     09:00 r1 task case active "settle the claim"
     ... r1
     +9s r1 hands h1 to r2
     +9s r2 calls claim.page {"p":2} -> "page two"
     +9s r2 hands h2 to r3
     +9s r3 calls claim.page {"p":3} -> "page three"
     +9s r3 hands h3 to r4
     +9s r4 calls claim.page {"p":4} -> "page four"
     +9s r4 hands h4 to r5
     +9s r5 calls claim.page {"p":5} -> "page five"
     +9s r5 hands h5 to r6
     +9s r6 calls claim.page {"p":6} -> "page six"
     ... r6
     +9s r6 task case completed

scenario twenty pieces are as many as it may be
expect nothing
allow abandoned_branch, sync_bottleneck
vary tools, wording
     09:00 boss task all active "label every picture"
     15..20 times
     +9s boss hands p{n} to worker{n} "picture {n}"
     +9s worker{n} calls picture.see {"n":{n}} -> "a cat, number {n}"
     +5s worker{n} task picture{n} completed
     end
     +9s boss task all completed

scenario a two-agent team that hands back with work done each time
expect nothing
vary tools, wording, length
     09:00 writer task text active "write the report"
     ... writer
     +9s writer calls draft.save {"v":1} write on draft -> "saved 1"
     +9s writer hands h1 to editor return
     +9s editor calls draft.read {"v":1} on draft -> "remarks 1" verifies text passed
     +9s editor hands h2 to writer
     +9s writer calls draft.save {"v":2} write on draft -> "saved 2"
     +9s writer hands h3 to editor return
     +9s editor calls draft.read {"v":2} on draft -> "remarks 2" verifies text passed
     +9s editor task text completed

scenario offers that are turned down do not count
expect nothing
allow abandoned_branch, recovery info
allow handoff_fidelity info
vary wording, length
     09:00 boss task one active "find somebody"
     ... boss
     8 times
     +9s boss offers o{n} to worker{n}
     +9s worker{n} rejects o{n}
     +9s boss calls roster.next {"n":{n}} -> "next is {n}"
     end
     +9s boss task one completed
