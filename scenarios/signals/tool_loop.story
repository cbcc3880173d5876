# Signal 3, tool_loop. A loop is read per actor over its completed calls: 4 rounds with equal results, 3 rounds that
# all fail, periods 1 to 5. Every round but the first is waste, so `repeated_work` may say the same of a loop, and a
# loop of more than seven events without progress is a stagnation too.

cast system alerting human oncall

scenario an agent lists the same pods again and again
expect tool_loop kind equal_results at look#4.result by diagnostic
allow repeated_work, stagnation, thrashing info
vary tools, wording, causality, length, interleave
     02:48 diagnostic task restore active "bring checkout back|mend the checkout"
     ... diagnostic
     4..9 times
look +5s diagnostic calls k8s.pods {"ns":"shop"} -> "3 of 3 running|all 3 are up"
     end
     +5s diagnostic calls k8s.events {"ns":"shop"} -> "nothing new"
     ... diagnostic
     +5s diagnostic task restore completed

scenario two calls in turns with the same answers
expect tool_loop kind equal_results at logs#4.result by reader
allow repeated_work, stagnation, thrashing info
vary tools, wording, length, causality
     09:00 reader task find active "find the cause"
     ... reader
     4 times
     +3s reader calls logs.tail {"app":"cart"} -> "connection reset"
logs +3s reader calls metrics.read {"app":"cart","m":"errors"} -> "6 %"
     end
     ... reader
     +5s reader task find completed

scenario a call fails three times in a row and is made again all the same
expect tool_loop kind failing info at try#3.result by fixer
allow stagnation, recovery, thrashing info
vary tools, wording, length, causality, interleave
     09:00 fixer task build active "make the build pass"
     ... fixer
     3 times
try  +4s fixer calls ci.logs {"run":77} -> error "404 not found"
     end
     +4s fixer calls ci.runs {"branch":"main"} -> "run 78"
     ... fixer
     +5s fixer task build completed

scenario a loop of twenty rounds becomes critical
expect tool_loop critical at ask#20.result by helper
allow repeated_work, stagnation, thrashing
allow origin
vary tools, wording
     10:00 helper task answer active "answer the customer"
     20..22 times
ask  +2s helper calls crm.find {"name":"Ann"} tokens 900 -> "no such customer"
     end
     +5s helper task answer failed

scenario a loop is left and is over
expect tool_loop resolved at ask#4.result by helper
allow repeated_work, stagnation, thrashing info
vary tools, wording, length
     10:00 helper task answer active "answer the customer"
     4..6 times
ask  +2s helper calls crm.find {"name":"Ann"} -> "no such customer"
     end
     +2s helper calls crm.find {"name":"Anne"} -> "customer 17"
     ... helper
     +5s helper task answer completed

scenario a loop while a handoff lies there and nobody takes it
expect tool_loop at ask#4.result by helper
expect handoff_dropped about offer by helper, billing
allow repeated_work, stagnation, thrashing info, abandoned_branch, sync_bottleneck
vary tools, wording
      10:00 helper task refund active "refund the customer"
offer +5s helper offers h1 to billing "check the invoice"
      4 times
ask   +10s helper calls invoice.state {"id":5} -> "open"
      end
      10:20 helper calls invoice.lines {"id":5} -> "two lines"
      +5s helper task refund completed

scenario three rounds with the same result are not yet a loop
expect nothing
allow repeated_work
vary tools, wording, causality, length, interleave
     02:48 diagnostic task restore active "bring checkout back"
     ... diagnostic
     3 times
     +5s diagnostic calls k8s.pods {"ns":"shop"} -> "3 of 3 running"
     end
     +5s diagnostic calls k8s.events {"ns":"shop"} -> "nothing new"
     ... diagnostic
     +5s diagnostic task restore completed

scenario a batch over files
expect nothing
vary tools, wording, causality, interleave
     09:00 refactorer task rename active "rename the module in every file"
     5..40 times
     +2s refactorer calls files.read {"path":"src/f{n}.rs"} on src/f{n}.rs -> "mod cart_{n};"
     end
     +2s refactorer task rename completed

scenario polling a build that goes on
expect nothing
allow stagnation
vary tools, wording, causality, length
     09:00 release task ship active "ship the release"
     8..15 times
     +30s release calls ci.state {"run":12} -> "{n} of 20 steps done"
     end
     ... release
     +5s release task ship completed

scenario retry with variation
expect nothing
vary tools, wording, length
     09:00 searcher task find active "find the paper"
     6 times
     +3s searcher calls search.web {"q":"kafka transactions part {n}"} -> "{n} hits"
     end
     ... searcher
     +5s searcher task find completed

scenario edit build test and again with other results
expect nothing
allow recovery info
vary tools, wording, length, interleave
     09:00 coder task mend active "make the tests pass" check "tests pass"
     3..6 times
     +9s coder calls files.edit {"path":"src/cart.rs","text":"attempt {n}"} write on src/cart.rs -> "written, {n}"
     +9s coder calls cargo.build {"round":{n}} -> "built, {n} warnings"
     +9s coder calls cargo.test {"round":{n}} -> "{n} of 7 tests pass"
     end
     ... coder
     +9s coder calls cargo.test {"all":true} -> "7 of 7 tests pass" verifies "tests pass" passed
     +5s coder task mend completed

scenario a call that fails twice and then works
expect nothing
allow recovery info
vary tools, wording, causality, length
     09:00 fixer task build active "make the build pass"
     2 times
     +4s fixer calls ci.logs {"run":77} -> timeout "no answer in 10 s"
     end
     +4s fixer calls ci.logs {"run":77} -> "compiled, 0 errors"
     ... fixer
     +5s fixer task build completed
