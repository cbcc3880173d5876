# Signal 16, lost_events. A gap in an actor's sequence is told two seconds of event time after it was seen, at the event
# that stands behind the gap; a declared cause that never comes, at the event that waited for it. What is lost may be
# what another signal needs, so the losses here are of events that none of them needs.

cast system probe human oncall

scenario a thought that never arrives
expect lost_events kind sequence_gap warning at after by diagnostic
allow abandoned_branch
vary tools, wording, length, interleave
start  02:48 diagnostic task restore active "bring checkout back"
       ... diagnostic
       +9s diagnostic thinks "hm|let me see" lost
after  +9s diagnostic calls db.pool {"db":"orders"} because start -> "3 of 100 in use"
       ... diagnostic
       +9s diagnostic task restore completed

scenario three events in a row are lost
expect lost_events kind sequence_gap warning at after by reader
vary tools, wording, length, interleave
start  09:00 reader task read active "read the folder"
       ... reader
       3 times
       +2s reader thinks "page {n}" lost
       end
after  +9s reader calls files.read {"path":"b"} because start -> "b says"
       ... reader
       +9s reader task read completed

scenario a cause that never comes
expect lost_events kind missing_cause info at after by reader
vary tools, wording, length
start  09:00 reader task read active "read the folder"
       ... reader
ghost  +2s helper thinks "look at b" lost
after  +9s reader calls files.read {"path":"b"} because start, ghost -> "b says"
       ... reader
       +9s reader task read completed

scenario two processes write as one actor
expect lost_events kind two_places warning at twice by reader
vary tools, wording
       09:00 reader task read active "read the folder"
       +2s reader calls files.read {"path":"a"} -> "a says"
       +2s reader calls files.read {"path":"b"} -> "b says"
twice  +2s reader thinks "who am I" seq 2
       +9s reader task read completed seq 6

scenario a gap beside a loop
expect lost_events kind sequence_gap warning at after by reader
expect tool_loop at look#4.result by reader
allow repeated_work, stagnation, thrashing info
vary tools, wording, length
start  09:00 reader task read active "read the folder"
       ... reader
       +2s reader thinks "hm" lost
after  +9s reader calls files.list {"path":"x"} because start -> "y"
       4 times
look   +9s reader calls files.stat {"path":"b"} -> "b is a file"
       end
       ... reader
       +9s reader task read completed

scenario a gap that is filled late
expect nothing
vary tools, wording, length, interleave
       09:00 reader task read active "read the folder"
       ... reader
       +2s reader thinks "hm" arrives +4s
       +1s reader calls files.read {"path":"b"} -> "b says"
       ... reader
       +9s reader task read completed

scenario told as lost and arrived after all
expect lost_events retracted by reader
vary tools, wording
start  09:00 reader task read active "read the folder"
       +2s reader thinks "hm" arrives +90s
       +1s reader calls files.read {"path":"b"} because start -> "b says"
       +9s reader thinks "that was b"
       +9s reader calls files.read {"path":"c"} -> "c says"
       +9s reader task read completed

scenario an actor that joins with a number of its own
expect nothing
vary tools, wording, length, causality
       09:00 reader task read active "read the folder"
       ... reader
start  +2s writer calls files.read {"path":"c"} seq 40 -> "c says"
       +2s writer task part completed
       +2s reader task read completed because start.result
allow abandoned_branch

scenario no sequence is without gaps
expect nothing
vary tools, wording, length, interleave, causality
       09:00 reader task read active "read the folder"
       ... reader
       5 times
       +2s reader calls files.read {"path":"d{n}"} -> "d{n} says {n}"
       end
       ... reader
       +9s reader task read completed

scenario a cause that comes a second late
expect nothing
vary tools, wording, length
start  09:00 reader task read active "read the folder"
       ... reader
word   +2s helper says "look at b" to reader because start arrives +1s
       +0s reader calls files.read {"path":"b"} because word -> "b says"
       ... reader
       +9s reader task read completed
