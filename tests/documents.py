"""The code that a page of the documentation shows."""

from markdown_it import MarkdownIt


def code_blocks(page: str, language: str) -> list[str]:
    """The blocks of a language in a page of Markdown, in their order; one at least."""
    tokens = MarkdownIt().parse(page)
    blocks = [token.content for token in tokens if token.type == "fence" and token.info == language]
    assert blocks, f"the page shows no {language or 'plain'} block"
    return blocks
