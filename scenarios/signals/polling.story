# Signal 3, polling. The same call by the same actor, one after the other, with differing results: told from 20 on, as
# information. A repeated call is no progress whatever it brings, so polling may be a stagnation as well.

scenario asking for the state of a build twenty times
expect polling info at ask#20.result by release
allow stagnation
vary tools, wording, length, causality, interleave
     09:00 release task ship active "ship the release"
     ... release
     20..30 times
ask  +30s release calls ci.state {"run":12} -> "{n} of 40 steps done|step {n} is done"
     end
     ... release
     +5s release task ship completed

scenario a queue is watched until it is empty
expect polling info resolved at ask#20.result by drain
allow stagnation
vary tools, wording, causality
     09:00 drain task empty active "empty the queue"
     20..40 times
ask  +10s drain calls queue.depth {"queue":"orders"} -> "{n} messages gone"
     end
     +5s drain calls queue.list {"all":true} -> "orders: 0"
     +5s drain task empty completed

scenario a job is watched with calls whose request ids differ
expect polling info at ask#20.result by runner
allow stagnation
vary tools, wording
     09:00 runner task job active "run the job"
     20..25 times
ask  +10s runner calls job.state {"job":7,"request_id":"r{n}"} -> {"percent":{n}}
     end
     +5s runner task job completed

scenario two actors poll and each is told for itself
expect polling info at ask#20.result by left
expect polling info at also#20.result by right
allow repeated_work, abandoned_branch, sync_bottleneck
allow stagnation
vary tools, wording
     09:00 left task both active "wait for both builds"
     20 times
ask  +10s left calls ci.state {"run":1} -> "left {n}"
also +1s right calls ci.state {"run":2} -> "right {n}"
     end
     +5s right task watch completed
     +5s left task both completed

scenario nineteen times is not yet told
expect nothing
allow stagnation
vary tools, wording, causality, length
     09:00 release task ship active "ship the release"
     15..19 times
     +30s release calls ci.state {"run":12} -> "{n} of 40 steps done"
     end
     +5s release calls ci.list {"all":true} -> "run 12"
     ... release
     +5s release task ship completed

scenario two watches in turns of fifteen
expect nothing
allow stagnation
vary tools, wording
     09:00 release task ship active "ship both releases"
     15 times
     +30s release calls ci.state {"run":12} -> "{n} of 40 steps done"
     end
     15 times
     +30s release calls ci.state {"run":13} -> "{n} of 50 steps done, the second"
     end
     +5s release task ship completed

scenario thirty files
expect nothing
vary tools, wording, causality, interleave
     09:00 reader task read active "read the folder"
     30..60 times
     +2s reader calls files.read {"path":"notes/{n}.md"} -> "note number {n}"
     end
     +5s reader task read completed

scenario two agents share the watch
expect nothing
allow repeated_work
allow stagnation
vary tools, wording
     09:00 left task watch active "watch the build"
     12 times
     +10s left calls ci.state {"run":1} -> "left sees {n}"
     end
     +10s left hands h1 to right "your shift"
     12 times
     +10s right calls ci.state {"run":1} -> "right sees {n}"
     end
     +5s right task watch completed
