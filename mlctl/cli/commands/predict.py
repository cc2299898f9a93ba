"""mlctl predict: ask a deployment."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import typer

from mlctl.cli.options import make_app, pick
from mlctl.cli.project import in_project
from mlctl.providers.serving.client import chat, token_of
from mlctl.providers.serving.client import predict as ask
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Ask a deployment for predictions, by entity keys or by feature values, or for an answer of its language model.\n\n"
    "Examples:\n\n  mlctl predict churn_api --key user_id=42\n\n"
    "  mlctl predict offer_api --key household_id=1 --key product_id=7 --request basket_value=9.5\n\n"
    '  mlctl predict --data \'{"instances": [{"age": 30, "visits": 2}]}\'\n\n'
    '  mlctl predict helper_api --message "What is AI?"\n\n'
    '  mlctl predict helper_api --data \'{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}\'',
)
@in_project
def predict(
    workspace: Workspace,
    deployment: Annotated[str | None, typer.Argument(help="May be left out when there is only one.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", "-k", metavar="NAME=VALUE", help="An entity key; repeat it for a key of several columns."
        ),
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option(
            "--request", "-r", metavar="NAME=NUMBER", help="What the model's on-demand features are computed from."
        ),
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="What a user says to a language model.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", metavar="JSON", help="The body of the request.")] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> int:
    """Send one request and print the answer."""
    if [key is not None or request is not None, message is not None, data is not None].count(True) != 1:
        raise MlctlError.of(
            "cli.usage",
            "give either `--key` and `--request`, or `--message`, or `--data`",
            "",
            "see `mlctl predict --help`",
        )
    record = pick(workspace.records(), "deployments", deployment)
    body = {**_keys(key or []), **_request(request or [])} if data is None else _body(data)
    if message is not None:
        body = {"messages": [{"role": "user", "content": message}]}
    try:
        answer = (chat if "messages" in body else ask)(
            record, body, timeout, token_of(record, lambda: workspace.surroundings.secrets)
        )
    except MlctlError as error:
        raise MlctlError([_about_key(item, _keys(key or [])) for item in error.diagnostics], error.exit_code) from None
    if message is not None and not as_json:
        print(answer["choices"][0]["message"]["content"])
        return 0
    print(json.dumps(answer, ensure_ascii=False, indent=None if as_json else 2))
    return 0


def _keys(pairs: list[str]) -> dict[str, Any]:
    """`name=value` pairs as a request: whole numbers as numbers, the rest as text."""
    body: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise MlctlError.of("cli.usage", f"`--key {pair}` is not NAME=VALUE", "", "for example `--key user_id=42`")
        body[name] = int(value) if value.removeprefix("-").isdecimal() else value
    return body


def _about_key(item: Diagnostic, given: dict[str, Any]) -> Diagnostic:
    """A refusal of a key with the value that was given for it: the server does not repeat what it is sent."""
    for name, value in given.items() if item.code == "predict.bad-key" else ():
        if f"`{name}` is a 64-bit whole number" in item.summary:
            return replace(item, summary=f"`{value}` is not a whole number of 64 bits, and the key `{name}` is one")
        if f"`{name}` is a text" in item.summary:
            fix = f"write it as `--data '{json.dumps({name: str(value)}, ensure_ascii=False)}'`"
            return replace(item, summary=f"`{value}` is taken for a number, and the key `{name}` is a text", fix=fix)
    return item


def _request(pairs: list[str]) -> dict[str, float | None]:
    """`name=number` pairs as a request; `null` is a value that is not known."""
    body: dict[str, float | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            if not equals or not name:
                raise ValueError
            body[name] = None if value == "null" else float(value)
        except ValueError:
            fix = "for example `--request basket_value=9.5`, or `=null` where there is no value"
            raise MlctlError.of("cli.usage", f"`--request {pair}` is not NAME=NUMBER", "", fix) from None
    return body


def _body(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError as error:
        raise MlctlError.of("cli.usage", f"`--data` is not JSON: {error}", "", "put it in single quotes") from None
    if not isinstance(body, dict):
        raise MlctlError.of("cli.usage", "`--data` takes a JSON object", "", 'for example `{"user_id": 42}`')
    return body
