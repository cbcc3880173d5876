# Signal 17, skipped. One anomaly for each thing on the table: changes and alerts by systems, questions and constraints
# of a handoff, hypotheses among others, checks that a task names. Changes count only where agents declare causes, so
# without declared causes a change is not told; the stories about changes do not vary that.

cast system config ci alerting human oncall

scenario nobody looks at the feature flag
expect skipped kind change warning about flag at done
allow abandoned_branch
vary tools, wording, length
flag   02:15 config says "flag routing-v2 goes to 100 %|checkout takes the new route" marked change=feature_flag
alert  02:47 alerting says "checkout error rate 6 %" marked alert=error_rate
start  02:48 diagnostic task restore active "bring checkout back" because alert
       ... diagnostic
       +9s diagnostic calls db.pool {"db":"orders"} -> "3 of 100 in use"
       ... diagnostic
done   +9s diagnostic task restore completed

scenario a question of the handoff that nobody answers
expect skipped kind open_question info about hand at done by triage
allow handoff_fidelity
vary tools, wording, length, causality, interleave
       09:00 triage task refund active "refund the customer"
       ... triage
hand   +9s triage hands h1 to billing question "was the voucher redeemed already?|has somebody used the coupon before?"
       +9s billing calls order.read {"id":7} -> "paid twice"
       ... billing
done   +9s billing task refund completed

scenario the receiver's plan drops a constraint
expect skipped kind constraint about hand at done by billing
allow handoff_fidelity
vary tools, wording, length, causality, interleave
       09:00 triage task refund active "refund the customer" constraint "never above 100 euros|100 euros at most"
       ... triage
hand   +9s triage hands h1 to billing constraint "never above 100 euros|100 euros at most"
       +9s billing task refund accepted "pay it back"
       ... billing
done   +9s billing task refund completed

scenario the other hypothesis is never tested
expect skipped kind hypothesis info about both at done by diagnostic
allow abandoned_branch
vary tools, wording, length, ids
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
both   +9s diagnostic thinks "either or" claim db "the database is full" low claim net "the network drops packets|packets get lost" low
pool   +9s diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
       +9s diagnostic thinks "the database" claim db "the database is full" high based pool.result
       ... diagnostic
done   +9s diagnostic task restore completed

scenario the check that the task named is never made
expect skipped kind check warning about start at done by coder
vary tools, wording, length, causality, interleave
start  09:00 coder task answer active "answer the customer" check "tone is friendly|the words are polite"
       ... coder
       +9s coder calls crm.find {"name":"Ann"} -> "customer 17"
done   +9s coder task answer completed

scenario two things at once
expect skipped kind change warning about deploy at done
expect skipped kind check warning about start at done by coder
vary tools, wording, length
deploy 08:31 ci says "orders 8.3 is deployed" marked change=deploy
alert  08:59 alerting says "disk 99 % full" marked alert=disk
start  09:00 coder task answer active "free the disk" check "disk below 80 %" because alert
       ... coder
       +9s coder calls disk.usage {"host":"a"} -> "logs 90 GB"
done   +9s coder task answer completed

scenario the flag is looked at
expect nothing
vary tools, wording, length
flag   02:15 config says "flag routing-v2 goes to 100 %" marked change=feature_flag
alert  02:47 alerting says "checkout error rate 6 %" marked alert=error_rate
       02:48 diagnostic task restore active "bring checkout back" because alert
       ... diagnostic
ask    +9s diagnostic calls changes.list {"since":"02:00"}
       +2s diagnostic gets "flag routing-v2" because flag
       ... diagnostic
       +9s diagnostic task restore completed

scenario the question is answered
expect nothing
vary tools, length, causality, interleave
       09:00 triage task refund active "refund the customer"
       ... triage
       +9s triage hands h1 to billing question "was the voucher redeemed already?"
       +9s billing calls voucher.state {"id":7} -> "never used"
       +9s billing thinks "the voucher was not redeemed already"
       ... billing
       +9s billing task refund completed

scenario the constraint is kept
expect nothing
vary tools, wording, length, causality, interleave
       09:00 triage task refund active "refund the customer" constraint "never above 100 euros|100 euros at most"
       ... triage
       +9s triage hands h1 to billing constraint "never above 100 euros|100 euros at most"
       +9s billing task refund accepted "pay it back" constraint "never above 100 euros|100 euros at most"
       ... billing
       +9s billing task refund completed

scenario both hypotheses are tested
expect nothing
allow revisions info
vary tools, wording, length, ids, causality
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic thinks "either or" claim db "the database is full" low claim net "the network drops packets" low
pool   +9s diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
ping   +9s diagnostic calls net.ping {"host":"db"} -> "0 of 10 lost"
       +9s diagnostic thinks "the database" claim db "the database is full" high based pool.result claim net "the network drops packets" low based ping.result
       ... diagnostic
       +9s diagnostic task restore completed

scenario the check is made
expect nothing
vary tools, wording, length, causality, interleave
       09:00 coder task answer active "answer the customer" check "tone is friendly|the words are polite"
       ... coder
       +9s coder calls tone.rate {"text":"Dear Ann"} -> "friendly" verifies "tone is friendly|the words are polite" passed
       ... coder
       +9s coder task answer completed
