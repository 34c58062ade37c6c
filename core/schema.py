"""What a dataset looks like: its fields, their types, its key and how its bytes are written.

One structure per source dataset, declared in `platform.yaml` (requirement 0.03) and enforced at intake.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

Value: TypeAlias = str | int | float | bool | list[Any] | dict[str, Any] | None
"""A canonical value: what a field holds after conversion. Safe for JSON, msgpack and SQL alike; see `FieldType`."""

Record: TypeAlias = dict[str, Value]

FieldType = Literal["text", "integer", "number", "decimal", "boolean", "date", "datetime", "json", "binary"]
"""text → str; integer → int (64 bits, signed); number → float; decimal → str in plain notation, exact; boolean → bool;
date → `YYYY-MM-DD`; datetime → `YYYY-MM-DDTHH:MM:SS[.ffffff][Z|±HH:MM]`; json → anything; binary → base64 str."""

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A field's outward name: lower snake case, so that it is safe as a column and as a query parameter."""


class Unit(Struct, frozen=True, forbid_unknown_fields=True):
    """A number is turned from the source's unit into another of the same kind, exactly; the names stand in `core/units.py`."""

    source: str = field(name="from")
    target: str = field(name="to")


class Field(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One field. `source` (written `from:` in YAML) is its name at the source, the outward name by default.

    What a source gives is mapped in this order: `trim` and `fold_width` (full-width letters and digits to half width), `codes`,
    `default` where there is nothing, `unit`, and then the type. An `expression` is computed from the other fields instead.
    """

    type: FieldType = "text"
    source: str | None = field(default=None, name="from")
    required: bool = False
    max_length: Annotated[int, Meta(ge=1)] | None = None
    format: str | tuple[str, ...] | None = None  # strptime patterns, `epoch` or `epoch_ms`, of what is not ISO 8601
    width: Annotated[int, Meta(ge=1)] | None = None  # bytes, fixed-width formats only
    timezone: str | None = None  # an IANA name: of moments that come without an offset
    trim: bool = False
    fold_width: bool = False
    codes: dict[str, str] = {}
    unknown_code: Literal["quarantine", "keep", "null"] = "quarantine"
    default: str | int | float | bool | None = None
    unit: Unit | None = None
    expression: Annotated[str, Meta(max_length=1000)] | None = None

    @property
    def formats(self) -> tuple[str, ...]:
        """The patterns, one or several, in the order they are tried."""
        return (self.format,) if isinstance(self.format, str) else self.format or ()

    @property
    def is_mapped(self) -> bool:
        """Whether its value outside is another than the source's, so that it can't be written back."""
        return bool(self.codes or self.unit or self.expression is not None)


class SourceColumn(Struct, frozen=True):
    """A column as its source describes it: its name there, the field type that holds all of it, and the type's own name there."""

    name: str
    type: FieldType = "text"
    native: str = ""


class Format(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How raw bytes of a dataset are to be read; SQL, SOAP and JSON adapters give rows and need none."""

    type: Literal["csv", "xml", "json", "json_lines", "fixed_width", "excel"]
    encoding: str = "utf-8"
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Meta(min_length=1, max_length=1)] = '"'
    header: bool = True
    path: str | None = None  # xml: the record's element name; json: the dotted path of the list
    sheet: str | None = None  # excel: its name; the first one by default
    compression: Literal["gzip", "zip"] | None = None
    members: str = "*"  # zip: the pattern of their names


class Dataset(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One table, file pattern, operation or message kind of a source.

    `object` is its name there, in the adapter's own terms. `cursor` names the field that grows with every change; without one
    only full loads are possible. `options` belong to the adapter and are checked against its own type.
    """

    object: str
    key: Annotated[tuple[Name, ...], Meta(min_length=1)]
    fields: dict[Name, Field | FieldType]
    cursor: Name | None = None
    interface: str | None = None  # the numbered interface it fulfils, such as IF0111
    title: str | None = None
    format: Format | None = None
    options: dict[str, Any] = {}
    indexes: tuple[Name, ...] = ()  # fields that services filter by
    drift: Literal["freeze", "evolve", "quarantine"] = "freeze"  # what to do where the source's columns are not as declared

    def field(self, name: str) -> Field:
        """The field in its long form. Raises KeyError for a name that is not declared."""
        declared = self.fields[name]
        return Field(type=declared) if isinstance(declared, str) else declared

    def source_name(self, name: str) -> str:
        """What the source calls the field."""
        return self.field(name).source or name

    @property
    def columns(self) -> tuple[str, ...]:
        """The outward field names in declared order: the order of every row of this dataset everywhere."""
        return tuple(self.fields)

    @property
    def given(self) -> tuple[str, ...]:
        """Those that the source gives; the others are computed from them."""
        return tuple(name for name in self.fields if self.field(name).expression is None)

    @property
    def read_columns(self) -> tuple[str, ...]:
        """What the source calls the fields that it gives, each once."""
        return tuple(dict.fromkeys(map(self.source_name, self.given)))

    def needs(self, name: str) -> tuple[str, ...]:
        """The source's columns that a field is made of."""
        expression = self.field(name).expression
        if expression is None:
            return (self.source_name(name),)
        from core.expression import Expression

        return tuple(self.source_name(other) for other in sorted(Expression(expression).names))
