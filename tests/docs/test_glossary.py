"""docs/glossary.md has the users' own words."""

import re

from tools.source_tree import ROOT


def test_the_chinese_terms_of_the_requirements_are_explained() -> None:
    requirements = (ROOT / "docs/requirements.md").read_text(encoding="utf-8")
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = set(re.findall(r"\(([\u4e00-\u9fff]{2,})[):]", requirements))
    assert len(terms) > 20
    assert sorted(term for term in terms if term not in glossary) == []
