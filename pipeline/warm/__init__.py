"""Node processes without start-up: a server that has imported TFX forks a process for each node that is asked of it.

Importing TFX costs each node's process 8 seconds and more of a core, whatever the node does. `client.run_warm` is what
a node's process calls instead; where there is no server, it starts one.

    client ── what to run, environment, stdin, stdout, stderr ──> server    imports and forks, does nothing else
                                                                    └─ keeper    one a client: signals, the end
    client <── exit code ───────────────────────────────────────────────┘ └─ child    calls the function

Why that is sound: what a fork must not meet is a thread that may hold a lock, or a pool whose threads the child lacks.
When it forks, the server has run no op, opened no store and no channel; it has one thread of Python's and one other at
most, jemalloc's of pyarrow, whose own fork handlers stop it for the child. OpenBLAS starts threads when it is imported,
unless it is told not to, and is. `server.unsound` checks all of this after the imports; a server that fails it sends
its clients away, and they do without one.
"""
