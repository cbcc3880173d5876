# Signal 5, revisions. Per task the sequence of claims that are hypotheses: a new id that neither refines nor is based on
# new evidence is a revision; going back to one that was left is a revert. Warns at the third revision without new
# evidence, or at any revert without new evidence. Claims without a test are `skipped` as well.

cast human oncall

scenario three changes of mind and nothing looked at
expect revisions warning at fourth by diagnostic
allow skipped info, stagnation, thrashing info
vary wording, length, interleave, causality
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic thinks "the database" claim db "the database is full|the database has no room" medium
       +9s diagnostic thinks "or the network" claim net "the network drops packets" medium
       +9s diagnostic thinks "or the deploy" claim deploy "the deploy is broken" medium
fourth +9s diagnostic thinks "or the cache" claim cache "the cache is cold" medium
       ... diagnostic
       +9s diagnostic task restore completed

scenario back to what was given up
expect revisions warning at back by diagnostic
allow skipped info, stagnation, thrashing info
vary wording, length, interleave, causality
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic thinks "the database" claim db "the database is full|the database has no room" medium
       +9s diagnostic thinks "or the network" claim net "the network drops packets" medium
back   +9s diagnostic thinks "the database after all" claim db "the database is full|the database has no room" medium
       ... diagnostic
       +9s diagnostic task restore completed

scenario the mind is changed by talk alone
expect revisions warning at fourth by diagnostic
allow skipped info, stagnation, thrashing info
vary wording, length, causality
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic says "the database" claim db "the database is full" low
       +9s diagnostic says "perhaps the network" claim net "the network drops packets" low
       +9s diagnostic says "perhaps the deploy" claim deploy "the deploy is broken" low
fourth +9s diagnostic says "perhaps the cache" claim cache "the cache is cold" low
       ... diagnostic
       +9s diagnostic task restore completed

scenario two changes of mind are allowed
expect nothing
allow skipped info
vary wording, length, interleave, causality
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic thinks "the database" claim db "the database is full" medium
       +9s diagnostic thinks "or the network" claim net "the network drops packets" medium
       +9s diagnostic thinks "or the deploy" claim deploy "the deploy is broken" medium
       +9s diagnostic calls deploy.list {"since":"02:00"} -> "none"
       ... diagnostic
       +9s diagnostic task restore completed

scenario re-planning with new evidence
expect nothing
allow skipped info
vary tools, wording, length, causality, interleave
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic thinks "the database" claim db "the database is full" medium
a      +9s diagnostic calls db.pool {"db":"orders"} -> "3 of 100 in use"
       +9s diagnostic thinks "so the network" claim net "the network drops packets" medium based a.result
b      +9s diagnostic calls net.ping {"host":"db"} -> "0 of 10 lost"
       +9s diagnostic thinks "so the deploy" claim deploy "the deploy is broken" medium based b.result
c      +9s diagnostic calls deploy.list {"since":"02:00"} -> "none"
       +9s diagnostic thinks "so the cache" claim cache "the cache is cold" medium based c.result
       ... diagnostic
       +9s diagnostic task restore completed

scenario ever more precise
expect nothing
allow skipped info
vary wording, length
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic thinks "the database" claim db "it is the database" medium
       +9s diagnostic thinks "its pool" claim pool "it is the pool" medium refines db
       +9s diagnostic thinks "its size" claim size "the pool is too small" medium refines pool
       +9s diagnostic thinks "at night" claim night "the pool is too small at night" medium refines size
       +9s diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
       ... diagnostic
       +9s diagnostic task restore completed

scenario back to an old idea that new evidence speaks for
expect nothing
allow skipped info
vary tools, wording, length, causality
       02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic thinks "the database" claim db "the database is full" medium
       +9s diagnostic thinks "or the network" claim net "the network drops packets" medium
a      +9s diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
       +9s diagnostic thinks "the database after all" claim db "the database is full" high based a.result
       ... diagnostic
       +9s diagnostic task restore completed

scenario one hypothesis each on four tasks
expect nothing
allow skipped info
vary wording, length
       02:48 diagnostic task restore active "look at four services"
       ... diagnostic
       4 times
       +9s diagnostic task part{n} active "service {n}"
       +9s diagnostic thinks "so" in part{n} claim s{n} "service {n} is slow" medium
       +9s diagnostic calls svc.state {"n":{n}} in part{n} -> "service {n} is well"
       +9s diagnostic task part{n} completed
       end
       +9s diagnostic task restore completed
