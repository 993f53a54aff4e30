"""Are the patterns of `registrationRules` what the validator does? Asked of ECMAScript itself.

Run by `make check`: needs node, and says so when there is none.
"""

import json
import random
import shutil
import subprocess
import sys

from domain.graphemes import count_graphemes
from domain.identity_numbers import has_identity_number
from domain.registration.names import PERSON_NAME, TEAM_OR_CHURCH_NAME, canonicalize_name
from domain.tournaments import TEXT_RULES

ALPHABET = "aA ே்க1２&.'’-(),/‘–ജോ\u1100\u1161\u0d4e\u200d\u200b\u3164\ufe0f<é\n/ബ\u0301\u0d02ـ"
SAMPLES = 5000
MATCH = """
const [patterns, names] = JSON.parse(require("fs").readFileSync(0, "utf8"));
let flags = ["u", "v"];
try { new RegExp("", "v"); } catch { flags = ["u"]; }
const matched = patterns.map((p) => names.map((n) => flags.every((f) => new RegExp(p, f).test(n))));
console.log(JSON.stringify(matched));
"""


def main() -> int:
    node = shutil.which("node")
    if node is None:
        print("NOT RUN: there is no node here, so the patterns were not compared.")
        return 0
    chance = random.Random(26)
    lengths = (
        chance.randrange(90) if i % 10 == 0 else chance.randrange(12) for i in range(SAMPLES)
    )
    names = [canonicalize_name("".join(chance.choices(ALPHABET, k=length))) for length in lengths]
    names = [name for name in names if not has_identity_number(name)]
    patterns = [
        PERSON_NAME.pattern,
        TEAM_OR_CHURCH_NAME.pattern,
        *(rule.pattern for rule in TEXT_RULES),
    ]
    run = subprocess.run(
        [node, "-e", MATCH],
        input=json.dumps([patterns, names]),
        capture_output=True,
        text=True,
        check=True,
    )
    matched = json.loads(run.stdout)
    wrong = [
        (rule.description, name)
        for rule, results in zip((PERSON_NAME, TEAM_OR_CHURCH_NAME), matched, strict=False)
        for name, result in zip(names, results, strict=True)
        # A pattern counts no letters that marks join to one, and lets longer names pass.
        if result != (rule.problem(name) is None)
        and not (result and rule.max_length < count_graphemes(name) < len(name))
    ]
    print(f"{len(names)} names against {len(patterns)} patterns: {len(wrong)} differ.")
    for description, name in wrong[:5]:
        print(f"  {description} {name!r}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
