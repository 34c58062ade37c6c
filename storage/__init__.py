"""The log and database tiers: databases (SQLite, MariaDB), the mirror, job state, journal, quarantine, and the tiered reader."""
