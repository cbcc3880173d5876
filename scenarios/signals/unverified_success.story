# Signal 11, unverified_success. A success assertion is a completed root task, a completed task that named checks, or a
# text that declares success; w is the last write or destructive call in its causal past. A check that a task named and
# that nobody made is `skipped` as well.

cast system alerting probe human oncall

scenario done after a rollback and nobody looked
expect unverified_success kind none warning at done about act by remediation
vary tools, wording, causality, length, interleave
      02:48 remediation task restore active "bring checkout back|mend the checkout"
      ... remediation
act   02:55 remediation calls k8s.rollback {"deploy":"orders"} destructive on orders -> "rolled back"
      ... remediation
done  02:57 remediation task restore completed

scenario set off by the end of the action
expect unverified_success kind trigger_mismatch warning at done about act by comms, remediation
allow abandoned_branch
vary tools, wording, length, interleave
      02:48 remediation task restore active "bring checkout back"
      ... remediation
act   02:55 remediation calls k8s.rollback {"deploy":"orders"} destructive on orders -> "rolled back"
done  02:57 comms says "Identified and resolved|All is well again" success because act.result
      +60s comms task restore completed because done

scenario the only check was made before
expect unverified_success kind stale warning at done about act, look.result by coder
vary tools, wording, causality, length
      09:00 coder task mend active "make the tests pass"
      ... coder
look  +9s coder calls cargo.test {"all":true} -> "7 of 7 pass" verifies mend passed
act   +9s coder calls files.edit {"path":"cart.rs"} write on cart.rs -> "written"
      ... coder
done  +9s coder task mend completed

scenario a check after it failed and success was declared all the same
expect unverified_success kind contradicted critical at done about act, look.result by coder
allow origin
vary tools, wording, causality, length, interleave
      09:00 coder task mend active "make the tests pass"
      ... coder
act   +9s coder calls files.edit {"path":"cart.rs"} write on cart.rs -> "written"
look  +9s coder calls cargo.test {"all":true} -> "1 of 7 fails" verifies mend failed
      ... coder
done  +9s coder task mend completed

scenario a later check fails
expect unverified_success kind contradicted critical at look.result about done by probe, remediation
allow origin
vary tools, wording, length
      02:48 remediation task restore active "bring checkout back"
      ... remediation
act   02:55 remediation calls k8s.rollback {"deploy":"orders"} destructive on orders -> "rolled back"
done  02:57 remediation task restore completed
look  02:57:20 probe calls checkout.errors {} -> "still 6 %" verifies restore failed

scenario declared before the action has ended
expect unverified_success kind premature warning at done about act by remediation
vary tools, wording, length
      02:48 remediation task restore active "bring checkout back"
      ... remediation
act   02:55 remediation calls k8s.rollback {"deploy":"orders"} destructive on orders
done  +5s remediation task restore completed
      +20s remediation gets "rolled back"

scenario a check before and after
expect nothing
vary tools, wording, causality, length, interleave
      09:00 coder task mend active "make the tests pass"
      ... coder
      +9s coder calls cargo.test {"all":true} -> "1 of 7 fails" verifies mend failed
      +9s coder calls files.edit {"path":"cart.rs"} write on cart.rs -> "written"
      +9s coder calls cargo.test {"all":true} -> "7 of 7 pass" verifies mend passed
      ... coder
      +9s coder task mend completed

scenario nothing was changed
expect nothing
vary tools, wording, causality, length, interleave
      09:00 reader task answer active "how many tables are there?"
      ... reader
      +9s reader calls sql.count {"table":"tables"} -> "41"
      +9s reader says "There are 41" success
      ... reader
      +9s reader task answer completed

scenario the check that the task named was made by another
expect nothing
allow abandoned_branch
vary tools, wording, length
      09:00 coder task mend active "make the tests pass" check "all tests pass|the tests are green"
      ... coder
      +9s coder calls files.edit {"path":"cart.rs"} write on cart.rs -> "written"
      +9s coder hands h1 to tester return
look  +9s tester calls cargo.test {"all":true} -> "7 of 7 pass" verifies "all tests pass|the tests are green" passed
      +9s tester hands h2 to coder
      +9s coder task mend completed

scenario edit build test until it passes
expect nothing
allow recovery info, repeated_work
vary tools, wording, length, causality
      09:00 coder task mend active "make the tests pass"
      ... coder
      2..4 times
      +9s coder calls files.edit {"path":"cart.rs","text":"try {n}"} write on cart.rs -> "written {n}"
      +9s coder calls cargo.test {"round":{n}} -> "{n} of 7 pass" verifies mend failed
      end
      +9s coder calls files.edit {"path":"cart.rs","text":"last try"} write on cart.rs -> "written last"
      +9s coder calls cargo.test {"round":"last"} -> "7 of 7 pass" verifies mend passed
      ... coder
      +9s coder task mend completed

scenario failure is declared after a change
expect nothing
allow origin
vary tools, wording, causality, length
      02:48 remediation task restore active "bring checkout back"
      ... remediation
      02:55 remediation calls k8s.rollback {"deploy":"orders"} destructive on orders -> "rolled back"
      +9s remediation says "It did not help" failure
      +9s remediation task restore failed

scenario a part is done and the whole is checked at the end
expect nothing
vary tools, wording, length, causality
      09:00 coder task ship active "ship it"
      ... coder
      +9s coder task write active "write it" in ship
      +9s coder calls files.edit {"path":"cart.rs"} write on cart.rs -> "written"
      +9s coder task write completed
      ... coder
      +9s coder calls cargo.test {"all":true} -> "7 of 7 pass" verifies ship passed
      +9s coder task ship completed
