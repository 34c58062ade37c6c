"""SQLite files served over other databases' wire protocols, so that the sample estate needs no database server.

`tds.serve_tds` speaks SQL Server's TDS 7.4, `mysql.serve_mysql` MySQL's protocol 10. They prove drivers, types, errors
and transactions; they do not imitate the two servers' SQL beyond what a careful adapter sends.
"""
