"""Where packs are trained: in this process, or in workers on this machine."""
