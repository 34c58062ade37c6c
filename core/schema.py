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


class Field(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One field. `source` (written `from:` in YAML) is its name at the source, the outward name by default."""

    type: FieldType = "text"
    source: str | None = field(default=None, name="from")
    required: bool = False
    max_length: Annotated[int, Meta(ge=1)] | None = None
    format: str | None = None  # strptime pattern of a date or datetime that is not ISO 8601
    width: Annotated[int, Meta(ge=1)] | None = None  # bytes, fixed-width formats only


class Format(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How raw bytes of a dataset are to be read; SQL, SOAP and JSON adapters give rows and need none."""

    type: Literal["csv", "xml", "json", "json_lines", "fixed_width"]
    encoding: str = "utf-8"
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Meta(min_length=1, max_length=1)] = '"'
    header: bool = True
    path: str | None = None  # xml: the record's element name; json: the dotted path of the list


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
