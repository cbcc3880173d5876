# Signal 10, handoff_fidelity. S is what the sender's last Task holds (claims and constraints), H what the
# handoff holds, R what the receiver's first Task holds. Fidelity = (H∩S / S) × (R∩H / H). What the handoff lacks is known
# at the acceptance, what the receiver lacks at its first Task. Told when half or more is lost. No S, no finding. A dropped constraint is `skipped` as well.

cast human oncall

scenario most of it is left behind at the handoff
expect handoff_fidelity about hand at hand.accepted by triage, billing
allow skipped
vary wording, length, interleave, causality
      09:00 triage task refund active "refund the customer"
look  +9s triage calls order.read {"id":7} -> "paid twice"
      ... triage
      +9s triage task refund active "refund the customer" claim twice "the order was paid twice|she paid two times" high based look.result claim old "the order is of May" high based look.result claim voucher "a voucher was used" high based look.result constraint "never above 100 euros", "by bank transfer only"
hand  +9s triage hands h1 to billing claim twice "the order was paid twice|she paid two times" high based look.result
take  +9s billing task refund accepted "pay it back" claim twice "the order was paid twice|she paid two times" high based look.result
      ... billing
      +9s billing task refund completed

scenario the receiver takes up little of what it is handed
expect handoff_fidelity about hand at take by triage, billing
allow skipped
vary wording, length, interleave, causality
      09:00 triage task refund active "refund the customer"
look  +9s triage calls order.read {"id":7} -> "paid twice"
      ... triage
      +9s triage task refund active "refund the customer" claim twice "the order was paid twice|she paid two times" high based look.result claim old "the order is of May" high based look.result constraint "never above 100 euros", "by bank transfer only"
hand  +9s triage hands h1 to billing claim twice "the order was paid twice|she paid two times" high based look.result claim old "the order is of May" high based look.result constraint "never above 100 euros", "by bank transfer only"
take  +9s billing task refund accepted "pay it back" claim twice "the order was paid twice|she paid two times" high based look.result
      ... billing
      +9s billing task refund completed

scenario nothing of the constraints arrives
expect handoff_fidelity about hand at hand.accepted by planner, driver
allow skipped
vary wording, length, causality
      09:00 planner task tour active "drive the tour" constraint "no tunnels", "back by six", "two breaks"
      ... planner
      +9s planner calls map.read {"from":"Rome"} -> "three roads"
hand  +9s planner hands h1 to driver "drive please"
take  +9s driver task tour accepted "drive"
      ... driver
      +9s driver task tour completed

scenario all of it is handed over and taken up
expect nothing
vary wording, length, interleave, causality
      09:00 triage task refund active "refund the customer"
look  +9s triage calls order.read {"id":7} -> "paid twice"
      ... triage
      +9s triage task refund active "refund the customer" claim twice "the order was paid twice" high based look.result constraint "never above 100 euros", "by bank transfer only"
      +9s triage hands h1 to billing claim twice "the order was paid twice" high based look.result constraint "never above 100 euros", "by bank transfer only"
      +9s billing task refund accepted "pay it back" claim twice "the order was paid twice" high based look.result constraint "never above 100 euros", "by bank transfer only"
      ... billing
      +9s billing task refund completed

scenario there was nothing to be handed over
expect nothing
vary wording, length, interleave, causality
      09:00 triage task refund active "refund the customer"
      ... triage
      +9s triage calls order.read {"id":7} -> "paid twice"
      +9s triage hands h1 to billing
      +9s billing task refund accepted "pay it back"
      ... billing
      +9s billing task refund completed

scenario one of five is left behind
expect nothing
allow skipped info, handoff_fidelity info
vary wording, length, causality
      09:00 triage task refund active "refund the customer"
look  +9s triage calls order.read {"id":7} -> "paid twice"
      ... triage
      +9s triage task refund active "refund the customer" claim twice "the order was paid twice" high based look.result claim old "the order is of May" high based look.result claim voucher "a voucher was used" high based look.result constraint "never above 100 euros", "by bank transfer only"
      +9s triage hands h1 to billing claim twice "the order was paid twice" high based look.result claim old "the order is of May" high based look.result constraint "never above 100 euros", "by bank transfer only"
      +9s billing task refund accepted "pay it back" claim twice "the order was paid twice" high based look.result claim old "the order is of May" high based look.result constraint "never above 100 euros", "by bank transfer only"
      ... billing
      +9s billing task refund completed

scenario the receiver sets no task
expect nothing
vary wording, length, causality
      09:00 triage task refund active "refund the customer" constraint "never above 100 euros"
      ... triage
      +9s triage hands h1 to billing constraint "never above 100 euros"
      +9s billing calls order.read {"id":7} -> "paid twice"
      +9s billing hands h2 to triage constraint "never above 100 euros"
      ... triage
      +9s triage task refund completed constraint "never above 100 euros"
