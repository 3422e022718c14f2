"""The loop one can read aloud: packs, schedules, device."""
