# Signal 18, origin. For a workflow that failed, or whose success is contradicted: the first event that the open findings
# point to, with its actor. A workflow that went well has none. Where the stories have one fault, its event is the
# origin: the assertion that hardened, the success that nobody checked, the third change of mind.

cast system probe human oncall

scenario a claim hardened and the rollback did not help
expect origin about sure by remediation
expect confidence_hardening critical about sure by diagnostic, remediation
expect unverified_success kind contradicted critical about done
allow confidence_decay, handoff_fidelity
vary tools, wording, length, ids
start 02:48 diagnostic task restore active "bring checkout back"
      ... diagnostic
pool  02:50 diagnostic calls db.pool {"db":"orders"} -> "100 of 100 in use"
hand  02:51 diagnostic hands h1 to remediation "the database" claim db "a database issue|the database is it" medium based pool.result
sure  02:55 remediation thinks "roll it back" claim db "a database issue|the database is it" confirmed
act   +5s remediation calls k8s.rollback {"deploy":"orders"} destructive on orders -> "rolled back"
      ... remediation
done  02:57 remediation task restore completed
any   02:57:20 probe calls checkout.errors {} -> "still 6 %" verifies restore failed

scenario a loop and then it fails
expect origin by reader
expect tool_loop at look#4.result by reader
allow repeated_work, stagnation, thrashing
vary tools, wording, length
      09:00 reader task find active "find the file"
      ... reader
      6 times
look  +5s reader calls files.find {"name":"x"} -> "none"
      end
      +5s reader calls files.list {"path":"y"} -> "empty"
fail  +5s reader task find failed

scenario nobody checked and it had not helped
expect origin by remediation
expect unverified_success kind contradicted critical about done
vary tools, wording, length
      02:48 remediation task restore active "bring checkout back"
      ... remediation
act   02:55 remediation calls k8s.rollback {"deploy":"orders"} destructive on orders -> "rolled back"
      ... remediation
done  02:57 remediation task restore completed
any   02:57:20 probe calls checkout.errors {} -> "still 6 %" verifies restore failed

scenario it went well
expect nothing
vary tools, wording, length, causality, interleave
      09:00 reader task find active "find the file"
      ... reader
      +5s reader calls files.find {"name":"x"} -> "y/x"
      +5s reader task find completed

scenario a loop that was left and a success all the same
expect tool_loop
allow repeated_work, stagnation, thrashing
vary tools, wording, length
      09:00 reader task find active "find the file"
      ... reader
      5 times
      +5s reader calls files.find {"name":"x"} -> "none"
      end
      +5s reader calls files.find {"name":"xx"} -> "y/xx"
      +5s reader task find completed

scenario a rollback that was checked
expect nothing
vary tools, wording, length, causality
      02:48 remediation task restore active "bring checkout back"
      ... remediation
      02:55 remediation calls k8s.rollback {"deploy":"orders"} destructive on orders -> "rolled back"
      +60s remediation calls checkout.errors {"m":5} -> "0.1 %" verifies restore passed
      +5s remediation task restore completed

scenario called off before anything was done
expect nothing
allow recovery info
vary wording, length, causality
      09:00 reader task find active "find the file"
      ... reader
      +5s reader calls files.list {"path":"y"} -> "empty"
      +5s reader task find cancelled
