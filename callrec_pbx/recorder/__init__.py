"""The listener: pumps events through the domain, owns timers, carries commands out."""
