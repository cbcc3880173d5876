# Signal 8, confidence_decay. A decision is made on a claim that is weaker than the decision's threshold declares. The
# threshold is read from the attribute `confidence_min` of the decision. The level of a decision is its own, and where
# it says none, that of the weakest claim it is stated with.

cast human oncall

scenario it fades from hand to hand and is decided on all the same
expect confidence_decay at choice by first, second, third
allow skipped info, handoff_fidelity
vary wording, length, causality, interleave
       09:00 first task report active "shall we sell?"
       ... first
doc    +9s first calls market.read {"share":"Acme"} -> "falling"
       +9s first hands h1 to second claim fall "Acme will fall|Acme goes down" high based doc.result
       +9s second thinks "well" claim fall "Acme will fall|Acme goes down" medium based doc.result
       +9s second hands h2 to third claim fall "Acme will fall|Acme goes down" medium based doc.result
       +9s third thinks "perhaps" claim fall "Acme will fall|Acme goes down" low based doc.result
choice +9s third thinks "sell" chooses trade "sell" low over "keep" marked confidence_min=medium claim fall "Acme will fall|Acme goes down" low based doc.result
       ... third
       +9s third task report completed

scenario a decision under its threshold
expect confidence_decay at choice by agent
vary wording, length, causality, interleave
       09:00 agent task claim active "pay the claim?"
       ... agent
doc    +9s agent calls claim.read {"id":3} -> "a photo of a car"
choice +9s agent thinks "pay" chooses payment "pay" low over "refuse" marked confidence_min=high
       ... agent
       +9s agent task claim completed

scenario a decision on a medium claim where high is asked
expect confidence_decay at choice by agent
vary wording, length, causality
       09:00 agent task claim active "pay the claim?"
       ... agent
doc    +9s agent calls claim.read {"id":3} -> "a photo of a car"
choice +9s agent thinks "pay" chooses payment "pay" medium over "refuse" marked confidence_min=high claim real "the claim is real" medium based doc.result
       ... agent
       +9s agent task claim completed

scenario a decision that is sure enough
expect nothing
vary wording, length, causality, interleave
       09:00 agent task claim active "pay the claim?"
       ... agent
doc    +9s agent calls claim.read {"id":3} -> "a photo of a car"
       +9s agent thinks "pay" chooses payment "pay" high over "refuse" marked confidence_min=high claim real "the claim is real" high based doc.result
       ... agent
       +9s agent task claim completed

scenario a weak claim and no decision
expect nothing
vary wording, length, causality, interleave
       09:00 first task report active "will it rain?"
       ... first
doc    +9s first calls weather.map {"day":"Sunday"} -> "a front"
       +9s first hands h1 to second claim rain "it will rain" medium based doc.result
       +9s second says "perhaps" claim rain "it will rain" low based doc.result
       ... second
       +9s second task report completed

scenario a decision without a threshold
expect nothing
vary wording, length, causality
       09:00 agent task trip active "which train?"
       ... agent
doc    +9s agent calls trains.find {"to":"Rome"} -> "two trains"
       +9s agent thinks "the first" chooses train "the first" medium over "the second"
       ... agent
       +9s agent task trip completed

scenario it was weak and new evidence made it strong
expect nothing
vary wording, length, causality
       09:00 agent task claim active "pay the claim?"
       ... agent
doc    +9s agent calls claim.read {"id":3} -> "a photo of a car"
       +9s agent thinks "perhaps" claim real "the claim is real" low based doc.result
more   +9s agent calls police.read {"id":3} -> "an accident on the ninth"
       +9s agent thinks "pay" chooses payment "pay" high over "refuse" marked confidence_min=medium claim real "the claim is real" high based more.result
       ... agent
       +9s agent task claim completed
