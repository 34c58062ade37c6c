"""sp_datatype_info, which an ODBC driver asks for the sizes of SQL Server's types; pyodbc binds long texts by it."""

from typing import Final

# Name, ODBC type, greatest size, quote before and behind, parameters, TDS user type — in the order SQL Server has them.
_TYPES: Final = (
    ("nvarchar", -9, 4000, "N'", "'", "max length", 0),
    ("nchar", -8, 4000, "N'", "'", "length", 0),
    ("varchar", 12, 8000, "'", "'", "max length", 2),
    ("char", 1, 8000, "'", "'", "length", 1),
    ("ntext", -10, 1073741823, "N'", "'", None, 0),
    ("text", -1, 2147483647, "'", "'", None, 19),
    ("varbinary", -3, 8000, "0x", None, "max length", 4),
    ("binary", -2, 8000, "0x", None, "length", 3),
    ("image", -4, 2147483647, "0x", None, None, 20),
    ("bit", -7, 1, None, None, None, 16),
    ("tinyint", -6, 3, None, None, None, 5),
    ("smallint", 5, 5, None, None, None, 6),
    ("int", 4, 10, None, None, None, 7),
    ("bigint", -5, 19, None, None, None, 0),
    ("float", 6, 53, None, None, None, 8),
    ("real", 7, 24, None, None, None, 23),
    ("decimal", 3, 38, None, None, "precision,scale", 24),
    ("numeric", 2, 38, None, None, "precision,scale", 10),
    ("date", 91, 10, "'", "'", None, 0),
    ("time", -154, 16, "'", "'", "scale", 0),
    ("datetime2", 93, 27, "'", "'", "scale", 0),
    ("uniqueidentifier", -11, 36, "'", "'", None, 0),
)
_HEADS: Final = (
    "CAST({} AS nvarchar(128)) AS TYPE_NAME, CAST({} AS smallint) AS DATA_TYPE, CAST({} AS int) AS PRECISION,"
    " CAST({} AS nvarchar(32)) AS LITERAL_PREFIX, CAST({} AS nvarchar(32)) AS LITERAL_SUFFIX,"
    " CAST({} AS nvarchar(32)) AS CREATE_PARAMS, CAST(1 AS smallint) AS NULLABLE,"
    " CAST(0 AS smallint) AS CASE_SENSITIVE, CAST(3 AS smallint) AS SEARCHABLE,"
    " CAST(0 AS smallint) AS UNSIGNED_ATTRIBUTE, CAST(0 AS smallint) AS MONEY,"
    " CAST(0 AS smallint) AS AUTO_INCREMENT, CAST({} AS nvarchar(128)) AS LOCAL_TYPE_NAME,"
    " CAST(NULL AS smallint) AS MINIMUM_SCALE, CAST(NULL AS smallint) AS MAXIMUM_SCALE,"
    " CAST({} AS smallint) AS SQL_DATA_TYPE, CAST(NULL AS smallint) AS SQL_DATETIME_SUB,"
    " CAST(NULL AS int) AS NUM_PREC_RADIX, CAST(NULL AS smallint) AS INTERVAL_PRECISION,"
    " CAST({} AS smallint) AS USERTYPE"
)


def datatype_info(type_: int) -> str:
    """Return the T-SQL that lists one ODBC type, or all for 0 (SQL_ALL_TYPES)."""
    selects = [
        "SELECT " + _HEADS.format(*map(_literal, (name, code, size, prefix, suffix, asks, name, code, user)))
        for name, code, size, prefix, suffix, asks, user in _TYPES
        if type_ in (0, code)
    ]
    return " UNION ALL ".join(selects) or "SELECT " + _HEADS.format(*["NULL"] * 9) + " WHERE 1 = 0"


def _literal(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "N'" + value.replace("'", "''") + "'"
