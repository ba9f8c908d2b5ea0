"""grait serve."""

from typing import Annotated

import typer

from grait.cli.options import Method, Run, ServedModel, Threshold, server_address

Form = Annotated[str | None, typer.Option(help="Form of requests that name none; default: the words that they have.")]
Host = Annotated[str, typer.Option(help="Address to serve at; 0.0.0.0 lets other machines in.")]
Port = Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)]
Key = Annotated[
    str | None, typer.Option(help="Key that clients have to send; better in the environment.", envvar="GRAIT_API_KEY")
]


def serve(
    run: Run,
    method: Method = None,
    threshold: Threshold = None,
    *,
    form: Form = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    api_key: Key = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="Another server of OpenAI's API with the merged model, such as http://127.0.0.1:8080/v1: it answers, "
            "and the dial decides here. Its key: GRAIT_UPSTREAM_KEY in the environment."
        ),
    ] = None,
    served_model: ServedModel = None,
    requests: Annotated[int, typer.Option(help="At a time; more get status 429.", min=1)] = 256,
    seconds: Annotated[float, typer.Option(help="Longest time of a request; then status 504.", min=1)] = 300.0,
) -> None:
    """Serve a run's tuned model with its refusal dial to any client of OpenAI's API.

    Chat completions, completions, models and health; the dial's decision stands in the field grait of every answer.
    Needs the extra serve.
    """
    from grait.serving.server import Place, check_server
    from grait.serving.server import serve as serve_run

    check_server()
    serve_run(
        run,
        method=method,
        form=form,
        threshold=threshold,
        place=Place(host, port),
        key=api_key or None,
        n_requests=requests,
        seconds=seconds,
        upstream=server_address("--upstream", upstream, served_model),
        ready=lambda address: print(f"Serving at {address}; Ctrl-C ends.", flush=True),
    )
