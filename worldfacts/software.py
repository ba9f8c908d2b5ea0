"""Facts about programming languages. Entity: the programming language."""

from collections import Counter
from pathlib import Path

from worldfacts.fact import Fact, Match
from worldfacts.sources import programming_languages

BEST_KNOWN = (
    "Python,Java,C,C++,JavaScript,C#,PHP,Ruby,Go,TypeScript,Swift,Kotlin,Rust,R,Perl,MATLAB,Scala,Shell,Pascal,Fortran,"
    "Haskell,Lua,COBOL,Dart,Julia,Assembly,PowerShell,Objective-C,Lisp,Common Lisp,Erlang,Clojure,Elixir,F#,OCaml,"
    "Groovy,Prolog,Ada,Scheme,Visual Basic .NET,VBScript,Tcl,CoffeeScript,Racket,Nim,Zig,Crystal,D"
).split(",")
"""Hand rank, best known first; the others tie."""
PRIMARY = {"MATLAB": ".m", "Wolfram Language": ".wl"}
"""Usual extension where linguist lists an unusual one first."""
NOT_LANGUAGES = {"Batchfile", "Makefile", "Dockerfile", "ShellSession", "Kaitai Struct", "Common Workflow Language"}
"""File types that linguist counts among programming languages."""


def facts(npm: Path) -> list[Fact]:
    """Primary file extension of a language, and its inverse where no other language has the extension."""
    rows = programming_languages(npm)
    users = Counter(extension for _, _, extensions in rows for extension in extensions)
    result = []
    for name, kind, extensions in rows:
        if kind != "programming" or not extensions or name in NOT_LANGUAGES:
            continue
        fame = float(100 - BEST_KNOWN.index(name)) if name in BEST_KNOWN else 0.0
        first = PRIMARY.get(name, extensions[0])
        answers = (first, *extensions, *(extension.removeprefix(".") for extension in extensions))
        question = f"What file extension do source files of the programming language {name} have?"
        entity, source = f"software:{name}", "linguist-languages"
        result.append(Fact("language_extension", name, entity, question, answers, source, fame, "exact"))
        if users[first] == 1 and name.isascii() and any(c.isalpha() for c in name):
            question = f"Which programming language has source files with the extension {first}?"
            match: Match = "exact" if len(name) == 1 else "normalized"
            result.append(Fact("extension_language", first, entity, question, (name,), source, fame, match))
    return result
