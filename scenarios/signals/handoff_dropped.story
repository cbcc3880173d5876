# Signal 1, handoff_dropped. Offered and neither accepted, rejected nor expired within 15 minutes, or when the session
# closes. Time alone proves it, so there is no `at`. Whoever leaves an offer lying may leave a branch lying too.

cast human oncall queue tickets

scenario an offer that nobody takes
expect handoff_dropped about offer by triage, billing
allow abandoned_branch, stagnation
vary tools, wording, causality, length, interleave
      09:00 triage task refund active "refund the customer"
      ... triage
      +9s triage calls order.read {"id":7} -> "paid twice"
offer +9s triage offers h1 to billing "pay it back|return the money"

scenario the one who offered goes on alone and is done
expect handoff_dropped about offer by triage, billing
allow abandoned_branch
vary tools, wording, causality, length
      09:00 triage task refund active "refund the customer"
offer +9s triage offers h1 to billing "pay it back"
      ... triage
      09:20 triage calls order.read {"id":7} -> "paid twice"
      +9s triage task refund completed

scenario an offer to a person who sleeps
expect handoff_dropped about offer by triage, oncall
allow abandoned_branch
allow recovery info
vary tools, wording, length
      09:00 triage task page active "page somebody"
      ... triage
      +9s triage calls pager.who {"team":"sre"} -> "oncall"
offer +9s triage offers h1 to oncall "please look"

scenario an offer into a queue that nobody reads
expect handoff_dropped about offer by triage, tickets
allow abandoned_branch
vary tools, wording, length
      09:00 triage task ticket active "get it looked at"
      ... triage
offer +9s triage offers h1 to tickets "somebody please"
      +9s triage calls ticket.read {"id":1} -> "queued"

scenario two offers and one of them dropped
expect handoff_dropped about offer by triage, legal
allow abandoned_branch, sync_bottleneck
vary tools, wording, length
      09:00 triage task claim active "settle the claim"
offer +9s triage offers h1 to legal "read the contract"
      ... triage
      +9s triage hands h2 to billing "pay"
      +9s billing calls claim.read {"id":3} -> "due in May"
      +9s billing task claim completed

scenario an offer that is taken at once
expect nothing
vary tools, wording, causality, length, interleave
      09:00 triage task refund active "refund the customer"
      ... triage
      +9s triage hands h1 to billing "pay it back"
      +9s billing calls order.read {"id":7} -> "paid twice"
      ... billing
      +9s billing task refund completed

scenario a human queue that accepts late but within the limit
expect nothing
allow recovery info
vary tools, wording, length
      09:00 triage task ticket active "get it looked at"
      ... triage
      +9s triage offers h1 to oncall "please look"
      +14m oncall accepts h1
      +9s oncall says "I look into it"
      +60s oncall task ticket completed

scenario an offer that is turned down
expect nothing
allow recovery info, abandoned_branch
allow handoff_fidelity info
vary tools, wording, length
      09:00 triage task refund active "refund the customer"
      ... triage
no    +9s triage offers h1 to billing "pay it back"
      +9s billing rejects h1
      +9s triage calls order.read {"id":7} because no -> "paid twice"
      +9s triage task refund completed

scenario an offer that runs out as it said
expect nothing
allow recovery info, abandoned_branch
vary tools, wording, length
      09:00 triage task refund active "refund the customer"
      ... triage
no    +9s triage offers h1 to billing "pay it back"
      +9m triage expires h1
      +9s triage calls order.read {"id":7} because no -> "paid twice"
      +9s triage task refund completed

scenario taken after the limit it was never dropped
expect handoff_dropped retracted about offer by triage, billing
allow stagnation, abandoned_branch
vary wording
      09:00 triage task refund active "refund the customer"
offer +9s triage offers h1 to billing "pay it back"
      +20m billing accepts h1
      +9s billing calls order.read {"id":7} -> "paid twice"
      +9s billing task refund completed
