# Signal 2, ping_pong. Holders of one task: who hands it over first is the first holder. No progress on the task in the
# window: neither a new state, nor a new result from a holder. Fires when the cycle stands for the third time, at the
# acceptance. A ball that flies long enough is a stagnation, and more than five deep in handoffs too.

cast system alerting human oncall

scenario two agents of three throw the task to and fro
expect ping_pong at back3.accepted by billing, legal
allow stagnation, handoffs, thrashing, abandoned_branch
allow handoff_fidelity info
allow origin
vary wording, length, tools
      09:00 triage task case active "settle the claim"
      ... triage
      +9s triage calls claim.read {"id":3} -> "a claim"
      +9s triage hands h0 to billing "yours"
      +9s billing hands h1 to legal "a legal matter|not ours"
back1 +9s legal hands h2 to billing "a money matter|not ours either"
      +9s billing hands h3 to legal "still legal"
back2 +9s legal hands h4 to billing "still money"
back3 +9s billing hands h5 to legal "no, legal"
      +9s legal hands h6 to billing "no, money"
      +9s billing task case failed

scenario two agents and nobody else
expect ping_pong at ball#5.accepted by left, right
allow stagnation, handoffs, thrashing
allow handoff_fidelity info
allow origin
vary wording, causality
      09:00 left task case active "settle the claim"
ball  +9s left hands h1 to right "yours"
ball  +9s right hands h2 to left "no, yours"
ball  +9s left hands h3 to right "no, yours, really"
ball  +9s right hands h4 to left "certainly not"
ball  +9s left hands h5 to right "certainly yours"
      +9s right task case failed

scenario three agents in a ring
expect ping_pong at ball#8.accepted by a, b, c
allow stagnation, handoffs, thrashing
allow origin
vary wording
      09:00 a task case active "settle the claim"
      2 times
ball  +9s a hands x{n} to b "next"
ball  +9s b hands y{n} to c "next"
ball  +9s c hands z{n} to a "next"
      end
ball  +9s a hands x3 to b "next"
ball  +9s b hands y3 to c "next"
      +9s c task case failed

scenario a two-agent team that gets on
expect nothing
allow handoffs
vary tools, wording, length
      09:00 writer task text active "write the report"
      ... writer
      4 times
      +9s writer calls draft.read {"page":{n}} -> "page {n} of the draft"
      +9s writer hands w{n} to editor return
      +9s editor calls remarks.read {"page":{n}} -> "remarks on page {n}"
      +9s editor hands e{n} to writer
      end
      +9s writer task text completed

scenario once to and fro
expect nothing
allow handoff_fidelity info
vary tools, wording, length, causality, interleave
      09:00 triage task case active "settle the claim"
      ... triage
      +9s triage hands h1 to billing "yours"
      +9s billing hands h2 to triage "not ours"
      +9s triage calls claim.read {"id":3} -> "a claim"
      ... triage
      +9s triage task case completed

scenario a boss who asks and gets answers
expect nothing
allow handoffs
vary tools, wording, length
      09:00 boss task plan active "plan the trip"
      ... boss
      +9s boss hands h1 to flights "find a flight" return
      +9s flights calls flights.find {"to":"Rome"} -> "AZ 401"
      +9s flights hands h2 to boss "found"
      +9s boss hands h3 to hotels "find a hotel" return
      +9s hotels calls hotels.find {"in":"Rome"} -> "Hotel Roma"
      +9s hotels hands h4 to boss "found"
      +9s boss hands h5 to cars "find a car" return
      +9s cars calls cars.find {"in":"Rome"} -> "a Fiat"
      +9s cars hands h6 to boss "found"
      +9s boss task plan completed

scenario two rounds and an end
expect nothing
allow stagnation
allow handoff_fidelity info
vary wording
      09:00 left task case active "settle the claim"
      +9s left hands h1 to right "yours"
      +9s right hands h2 to left "no, yours"
      +9s left hands h3 to right "well"
      +9s right calls claim.read {"id":3} -> "a claim"
      +9s right task case completed
