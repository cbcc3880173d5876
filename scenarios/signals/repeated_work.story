# Signal 4, repeated_work. A call with the fingerprint of an earlier successful one in the workflow and the same result,
# nothing but reads between. Proved by the result. `cross_agent` where another actor made the first. A call without
# arguments is not counted, nor one that follows an error. Calls are compared with the newest of the workflow
# (`calls_max`), so the harmless work stands before or behind the two and not between.

cast human oncall

scenario the receiver looks up again what was handed to it
expect repeated_work kind cross_agent at again.result about first by scout, writer
vary tools, wording, length, interleave, causality
       09:00 scout task report active "report on Acme"
       ... scout
first  +9s scout calls register.find {"firm":"Acme"} -> "founded 1950"
       +9s scout hands h1 to writer claim old "Acme was founded in 1950" high based first.result
again  +9s writer calls register.find {"firm":"Acme"} -> "founded 1950"
       ... writer
       +9s writer task report completed

scenario the receiver has to look up again what nobody handed to it
expect repeated_work kind cross_agent at again.result by scout, writer
vary tools, wording, length, causality
       09:00 scout task report active "report on Acme"
       ... scout
       +9s scout calls register.find {"firm":"Acme"} -> "founded 1950"
       +9s scout hands h1 to writer "please write"
       +9s writer calls files.read {"path":"template"} -> "Dear reader"
again  +9s writer calls register.find {"firm":"Acme"} -> "founded 1950"
       ... writer
       +9s writer task report completed

scenario an agent asks the same again later
expect repeated_work kind same_agent at again.result by reader
vary tools, wording, length, causality, interleave
       09:00 reader task read active "read about Acme"
       ... reader
       +9s reader calls register.find {"firm":"Acme"} -> "founded 1950"
       +9s reader calls files.read {"path":"a"} -> "a says"
again  +9s reader calls register.find {"firm":"Acme"} -> "founded 1950"
       ... reader
       +9s reader task read completed

scenario the same call in another order of its keys
expect repeated_work kind same_agent at again.result by reader
vary wording, length
       09:00 reader task read active "read about Acme"
       ... reader
       +9s reader calls register.find {"firm":"Acme","year":1950} -> {"rows":[1,2],"took":"x"}
       +9s reader calls files.read {"path":"a"} -> "a says"
again  +9s reader calls register.find {"year":1950.0,"firm":"Acme"} -> {"took":"x","rows":[1,2]}
       +9s reader task read completed

scenario the same after a change
expect nothing
vary tools, wording, length, causality
       09:00 coder task mend active "mend the cart"
       ... coder
       +9s coder calls files.read {"path":"cart.rs"} -> "mod cart;"
       +9s coder calls files.edit {"path":"shop.rs"} write on shop.rs -> "written"
       +9s coder calls files.read {"path":"cart.rs"} -> "mod cart;"
       +9s coder calls cargo.test {"all":true} -> "7 of 7 pass" verifies mend passed
       +9s coder task mend completed

scenario tried again after an error
expect nothing
allow recovery info
vary tools, wording, length, causality
       09:00 reader task read active "read about Acme"
       ... reader
       +9s reader calls register.find {"firm":"Acme"} -> timeout "no answer"
       +9s reader calls register.find {"firm":"Acme"} -> "founded 1950"
       ... reader
       +9s reader task read completed

scenario another answer each time
expect nothing
allow stagnation info
vary tools, wording, length, causality
       09:00 reader task watch active "watch the share"
       5 times
       +9s reader calls share.price {"firm":"Acme"} -> "{n}{n} euros"
       end
       ... reader
       +9s reader task watch completed

scenario a batch over targets with one answer
expect nothing
allow stagnation
vary tools, wording, causality
       09:00 checker task check active "check every host"
       5..9 times
       +9s checker calls host.ping {"host":"h{n}"} on h{n} -> "up, host {n}"
       end
       +9s checker task check completed

scenario calls without arguments
expect nothing
allow tool_loop
vary wording, length
       09:00 reader task read active "read the page"
       ... reader
       +9s reader calls page.down -> "page 2"
       +9s reader calls page.down -> "page 3"
       +9s reader calls page.down -> "page 3"
       +9s reader task read completed

scenario two agents read different things
expect nothing
vary tools, wording, length, causality
       09:00 scout task report active "report on Acme"
       ... scout
       +9s scout calls register.find {"firm":"Acme"} -> "founded 1950"
       +9s scout hands h1 to writer
       +9s writer calls register.find {"firm":"Acme Ltd"} -> "founded 1951"
       ... writer
       +9s writer task report completed
