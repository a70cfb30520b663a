"""The problems of the OpenAPI document as exceptions."""

from typing import Any

HEAD = '''"""One exception for each problem that the service answers with.

Generated from its OpenAPI document by client/tools; not to be edited.
"""

from tdmr.errors import APIError
'''


def render(openapi: dict[str, Any]) -> str:
    found: dict[str, tuple[int, str]] = {}
    for methods in openapi["paths"].values():
        for operation in methods.values():
            for status, response in operation.get("responses", {}).items():
                examples = response.get("content", {}).get("application/problem+json", {}).get("examples", {})
                found |= {code: (int(status), example["summary"]) for code, example in examples.items()}
    parts = [HEAD]
    for code, (status, title) in sorted(found.items()):
        said = f'    """{title} ({status})."""\n\n    code = "{code}"\n    status = {status}'
        parts.append(f"class {exception_name(code)}(APIError):\n{said}")
    entries = "".join(f'    "{code}": {exception_name(code)},\n' for code in sorted(found))
    parts.append(f'BY_CODE: dict[str, type[APIError]] = {{\n{entries}}}\n"""Another code is an `APIError`."""\n')
    return "\n\n".join(parts)


def exception_name(code: str) -> str:
    return "".join(word.capitalize() for word in code.split("_"))
