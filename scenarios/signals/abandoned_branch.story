# Signal 12, abandoned_branch. The last event of a branch that nobody waits for any more: neither terminal, nor in the
# causes of a later event by another, nor superseded, silent for 15 minutes or when the session closes. Branches are
# known by declared causes and by tasks, so the stories keep their causes.

cast human oncall

scenario one of two helpers is forgotten
expect abandoned_branch about last.result by second
allow sync_bottleneck, skipped info
vary tools, wording, length
start 09:00 boss task report active "report on Acme"
      ... boss
      +9s boss hands h1 to first "the register"
      +9s boss hands h2 to second "the press"
one   +9s first calls register.find {"firm":"Acme"} -> "founded 1950"
      +9s first task register completed
last  +9s second calls press.find {"firm":"Acme"} -> "three articles"
      ... boss
      +9s boss task report completed because one.result

scenario a branch that falls silent while the others go on
expect abandoned_branch about last by second
allow sync_bottleneck, skipped info
vary tools, wording
start 09:00 boss task report active "report on Acme"
      +9s boss hands h2 to second "the press"
last  +9s second thinks "where do I begin"
      12 times
      +2m boss calls register.find {"page":{n}} -> "page {n}"
      end
      +9s boss task report completed

scenario a task of its own that nobody ends
expect abandoned_branch about last.result by second
allow sync_bottleneck
vary tools, wording, length
start 09:00 boss task report active "report on Acme"
      ... boss
      +9s second task press active "read the press" under report because start in press
last  +9s second calls press.find {"firm":"Acme"} in press -> "three articles"
      +9s boss calls register.find {"firm":"Acme"} -> "founded 1950"
      ... boss
      +9s boss task report completed

scenario parallel branches that join
expect nothing
allow sync_bottleneck info
vary tools, wording, length
start 09:00 boss task report active "report on Acme"
      ... boss
      +9s boss hands h1 to first "the register"
      +9s boss hands h2 to second "the press"
one   +9s first calls register.find {"firm":"Acme"} -> "founded 1950"
two   +9s second calls press.find {"firm":"Acme"} -> "three articles"
join  +9s boss thinks "put together" because one.result, two.result
      ... boss
      +9s boss task report completed because join

scenario a branch that ends its own task
expect nothing
allow sync_bottleneck info
vary tools, wording, length
start 09:00 boss task report active "report on Acme"
      ... boss
      +9s second task press active "read the press" because start in press
      +9s second calls press.find {"firm":"Acme"} in press -> "three articles"
      +9s second task press completed
      ... boss
      +9s boss task report completed

scenario a branch that is called off
expect nothing
allow sync_bottleneck info, recovery info, abandoned_branch info
vary tools, wording, length
start 09:00 boss task report active "report on Acme"
      ... boss
      +9s second task press active "read the press" because start in press
two   +9s second calls press.find {"firm":"Acme"} in press -> "three articles"
      +9s boss task press cancelled because start in press
      ... boss
      +9s boss task report completed

scenario a branch that another attempt takes the place of
expect nothing
allow sync_bottleneck info, recovery info, abandoned_branch info
vary tools, wording, length
start 09:00 boss task report active "report on Acme"
      ... boss
      +9s boss hands h1 to first "the press"
try   +9s first calls press.find {"firm":"Acme"} -> timeout "no answer"
again +9s boss calls press.find {"firm":"Acme"} because try.result retrying try -> "three articles"
      ... boss
      +9s boss task report completed

scenario a chain of agents has one branch
expect nothing
vary tools, wording, length, causality
      09:00 boss task report active "report on Acme"
      ... boss
      +9s boss hands h1 to first "the register"
      +9s first calls register.find {"firm":"Acme"} -> "founded 1950"
      +9s first hands h2 to second "write it"
      +9s second calls files.read {"path":"template"} -> "Dear reader"
      ... second
      +9s second task report completed

scenario a long silence of the one who works alone
expect nothing
vary tools, wording, causality
      09:00 waiter task wait active "wait for the parcel"
      +9s waiter calls parcel.state {"id":1} -> "on its way"
      +14m waiter calls parcel.state {"id":1} -> "at the door"
      +9s waiter task wait completed
