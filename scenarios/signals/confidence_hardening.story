# Signal 9, confidence_hardening. The receiver's first level of a claim after it took the work, without new evidence
# since. New evidence is an ok result that the workflow had not seen or a statement by a person, in the assertion's
# evidence or in its causal past. A claim that is stated without evidence beside another is a hypothesis that nobody
# tested, which is why `skipped` may say so.

cast system alerting human oncall

scenario a medium claim is acted upon as confirmed
expect confidence_hardening kind raised critical at act about hand, sure by diagnostic, remediation
allow unverified_success, confidence_decay, handoff_fidelity, origin
vary tools, wording, causality, length, interleave, ids
     02:48 diagnostic task restore active "bring checkout back|mend the checkout"
     ... diagnostic
pool 02:50 diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
     +5s diagnostic thinks "looks like the pool" claim db "a database issue from the deploy|the deploy broke the database" medium based pool.result
hand 02:51 diagnostic hands h1 to remediation "the database" claim db "a database issue from the deploy|the deploy broke the database" medium based pool.result
sure 02:55 remediation thinks "roll it back" claim db "a database issue from the deploy|the deploy broke the database" confirmed
act  +5s remediation calls k8s.rollback {"deploy":"orders"} destructive on orders -> "rolled back"
     ... remediation
     +60s remediation task restore active "look whether it helped"

scenario a probability rises by changing hands
expect confidence_hardening kind raised warning at sure by scout, writer
allow confidence_decay, handoff_fidelity
vary tools, wording, length, interleave, causality
     09:00 scout task report active "is the supplier insolvent?"
     ... scout
doc  +9s scout calls register.find {"firm":"Acme"} -> "no entry since 2023"
hand +9s scout hands h1 to writer claim insolvent "Acme is insolvent|Acme has gone under" 0.5 based doc.result
sure +9s writer says "Acme is insolvent" claim insolvent "Acme is insolvent|Acme has gone under" 0.7
     ... writer
     +9s writer task report completed

scenario the level is dropped on the way
expect confidence_hardening kind qualifier_dropped warning at sure by scout, writer
allow confidence_decay, handoff_fidelity
vary tools, wording, length, causality, ids
     09:00 scout task report active "is the supplier insolvent?"
     ... scout
doc  +9s scout calls register.find {"firm":"Acme"} -> "no entry since 2023"
hand +9s scout hands h1 to writer claim insolvent "Acme is insolvent|Acme has gone under" low based doc.result
sure +9s writer says "we should stop orders" claim insolvent "Acme is insolvent|Acme has gone under"
     ... writer
     +9s writer task report completed

scenario a hypothesis becomes a fact
expect confidence_hardening kind relabelled warning at sure by scout, writer
allow confidence_decay, handoff_fidelity
vary tools, wording, length, causality, ids, interleave
     09:00 scout task report active "who wrote the letter?"
     ... scout
doc  +9s scout calls archive.find {"year":1911} -> "a draft in another hand"
hand +9s scout hands h1 to writer claim forged "the letter is forged" medium based doc.result
     +9s writer calls archive.find {"year":1911} -> "a draft in another hand"
sure +9s writer thinks "so it is" claim forged "the letter is forged" fact medium
     ... writer
     +9s writer task report completed
allow repeated_work

scenario it hardens at the second of three hands
expect confidence_hardening kind raised warning at sure by second, third
allow confidence_decay, handoff_fidelity
vary wording, length, ids, causality
     09:00 first task report active "will it rain?"
     ... first
map  +9s first calls weather.map {"day":"Sunday"} -> "a front west of Ireland"
     +9s first hands h1 to second claim rain "it will rain on Sunday" low based map.result
     +9s second thinks "perhaps" claim rain "it will rain on Sunday" low based map.result
     +9s second hands h2 to third claim rain "it will rain on Sunday" low based map.result
sure +9s third says "cancel the picnic" claim rain "it will rain on Sunday" high
     ... third
     +9s third task report completed

scenario rising confidence with new evidence
expect nothing
allow confidence_decay
vary tools, wording, length, causality, interleave, ids
     02:48 diagnostic task restore active "bring checkout back"
     ... diagnostic
pool 02:50 diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
     02:51 diagnostic hands h1 to remediation claim db "the database is the cause" medium based pool.result
slow +9s remediation calls db.slow {"db":"orders"} -> "one query holds 97 connections"
     +9s remediation thinks "it is" claim db "the database is the cause" confirmed based slow.result
     ... remediation
     +9s remediation task restore completed

scenario a person says so
expect nothing
allow confidence_decay, abandoned_branch
vary wording, length, ids
     02:48 diagnostic task restore active "bring checkout back"
     ... diagnostic
pool 02:50 diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
     02:51 diagnostic hands h1 to remediation claim db "the database is the cause" medium based pool.result
word +20s oncall says "I see it too, the pool is full" to remediation
     +9s remediation thinks "confirmed then" because word claim db "the database is the cause" confirmed based word
     +9s remediation task restore completed

scenario the same level is handed on
expect nothing
allow confidence_decay
vary tools, wording, length, causality, interleave, ids
     02:48 diagnostic task restore active "bring checkout back"
     ... diagnostic
pool 02:50 diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
     02:51 diagnostic hands h1 to remediation claim db "the database is the cause" medium based pool.result
     +9s remediation thinks "likely" claim db "the database is the cause" medium based pool.result
     ... remediation
     +9s remediation task restore completed

scenario a rise just under the threshold
expect nothing
allow confidence_decay
vary wording, length, causality
     09:00 scout task report active "is the supplier insolvent?"
     ... scout
doc  +9s scout calls register.find {"firm":"Acme"} -> "no entry since 2023"
     +9s scout hands h1 to writer claim insolvent "Acme is insolvent" 0.5 based doc.result
     +9s writer says "perhaps" claim insolvent "Acme is insolvent" 0.64 based doc.result
     ... writer
     +9s writer task report completed

scenario the receiver is less sure
expect nothing
allow confidence_decay
vary wording, length, ids, causality
     09:00 scout task report active "is the supplier insolvent?"
     ... scout
doc  +9s scout calls register.find {"firm":"Acme"} -> "no entry since 2023"
     +9s scout hands h1 to writer claim insolvent "Acme is insolvent" high based doc.result
     +9s writer says "perhaps" claim insolvent "Acme is insolvent" low based doc.result
     ... writer
     +9s writer task report completed

scenario refinement of a claim
expect nothing
allow confidence_decay, handoff_fidelity
vary wording, length
     02:48 diagnostic task restore active "bring checkout back"
     ... diagnostic
pool 02:50 diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
     02:51 diagnostic hands h1 to remediation claim db "the database is the cause" medium based pool.result
slow +9s remediation calls db.slow {"db":"orders"} -> "one query holds 97 connections"
     +9s remediation thinks "more exactly" claim query "one query fills the pool" high based slow.result refines db
     ... remediation
     +9s remediation task restore completed
