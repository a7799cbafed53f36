"""Floor 6: drive it in a browser. One world, one thread that steps it, a place for everybody who came.

    page.html ──controls──► app ──► house ──motion──► rows ──pictures──► house ──► app ──► page.html

``rows`` is any number of independent drives in one world, ``place`` one person's drive, ``house`` the thread that moves
all of them at one pace, ``app`` the sockets, ``gate`` who and how much may come in. Nothing a client sends reaches the
world but through ``messages``, which knows every message there is, and ``hands``, which keeps no more than the newest.
"""
