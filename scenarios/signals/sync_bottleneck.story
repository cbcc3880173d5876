# Signal 15, sync_bottleneck. A join is an event that follows from the last events of two or more other actors. The wait is
# from the second slowest branch (or the one who joins, where it has nothing else to do) to the slowest; told where it is
# most of the time since the branches began and at least a minute. The slowest branch sets the pace.

cast human oncall

scenario two are done at once and the third takes minutes
expect sync_bottleneck about slow.result at join by boss, third
vary tools, wording
start 09:00 boss task report active "report on Acme"
      +5s boss hands h1 to first "the register"
      +5s boss hands h2 to second "the press"
      +5s boss hands h3 to third "the books"
one   +5s first calls register.find {"firm":"Acme"} -> "founded 1950"
two   +5s second calls press.find {"firm":"Acme"} -> "three articles"
slow  +12m third calls books.read {"firm":"Acme"} -> "a loss"
join  +5s boss thinks "put together" because one.result, two.result, slow.result
      +5s boss task report completed

scenario one of two takes minutes over many calls
expect sync_bottleneck about slow#9.result at join by boss, second
vary tools, wording
start 09:00 boss task report active "report on Acme"
      +5s boss hands h1 to first "the register"
      +5s boss hands h2 to second "the books"
one   +5s first calls register.find {"firm":"Acme"} -> "founded 1950"
      9 times
slow  +1m second calls books.read {"year":{n}} -> "a loss of {n}"
      end
join  +5s boss thinks "put together" because one.result, slow.result
      +5s boss task report completed

scenario the slow one waits for a tool
expect sync_bottleneck about slow at join by boss, second
vary tools, wording
start 09:00 boss task report active "report on Acme"
      +5s boss hands h1 to first "the register"
      +5s boss hands h2 to second "the simulation"
one   +5s first calls register.find {"firm":"Acme"} -> "founded 1950"
run   +5s second calls sim.run {"n":1000}
slow  +9m second gets "done" 
join  +5s boss thinks "put together" because one.result, slow
      +5s boss task report completed

scenario branches of about the same length
expect nothing
allow sync_bottleneck info
vary tools, wording
start 09:00 boss task report active "report on Acme"
      +5s boss hands h1 to first "the register"
      +5s boss hands h2 to second "the press"
one   +60s first calls register.find {"firm":"Acme"} -> "founded 1950"
two   +10s second calls press.find {"firm":"Acme"} -> "three articles"
join  +5s boss thinks "put together" because one.result, two.result
      +5s boss task report completed

scenario one long branch and nothing to join
expect nothing
vary tools, wording
      09:00 boss task report active "report on Acme"
      +5s boss hands h1 to first "the books"
      +12m first calls books.read {"firm":"Acme"} -> "a loss"
      +5s first task report completed

scenario quick branches
expect nothing
allow sync_bottleneck info
vary tools, wording, length
start 09:00 boss task report active "report on Acme"
      ... boss
      +5s boss hands h1 to first "the register"
      +1s boss hands h2 to second "the press"
one   +1s first calls register.find {"firm":"Acme"} -> "founded 1950"
two   +20s second calls press.find {"firm":"Acme"} -> "three articles"
join  +5s boss thinks "put together" because one.result, two.result
      +5s boss task report completed
