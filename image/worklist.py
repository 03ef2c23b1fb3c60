"""Worklists as pages write them: for the tests and `make run`, which press no button in a browser.

The seal is that of src/worklist/mac.rs, made with Python's own HMAC.
"""

import hashlib
import hmac
import json

PREFIX = b"larder worklist 2\n"
CFG = b'<script type="application/json" id="cfg">'
BEGIN = b'<!--WORKLIST-BEGIN--><script type="application/json" id="work">'
END = b"</script><!--WORKLIST-END-->"


def seal(key, text):
    """A JSON object with the seal of a page's key as its last member."""
    body = text.removesuffix("}")
    return f'{body},"mac":"{hmac.new(key.encode(), PREFIX + body.encode(), hashlib.sha256).hexdigest()}"}}'


def listed(page, key, device, items):
    """A sealed worklist of a device's page, as in a file that a browser saved."""
    work = {"v": 2, "page": page, "device": device, "gen": 1, "nonce": "0" * 32, "items": items}
    return seal(key, json.dumps(work))


def own(page):
    """What is particular to a page, by its bytes: its identity, its key and more."""
    rest = page.rpartition(CFG)[2]
    return json.loads(rest[: rest.index(b"</script>")])


def put(page, item):
    """The page with one wish more, sealed anew."""
    before, _, rest = page.rpartition(BEGIN)
    text, _, after = rest.partition(END)
    work = json.loads(text)
    work.pop("mac", None)
    work["items"].append(item)
    sealed = seal(own(page)["key"], json.dumps(work).replace("<", "\\u003c"))
    return before + BEGIN + sealed.encode() + END + after


def first_form(items):
    """A conflict copy of a page of the first form, which counts by the folder where it lies: for a page that is not made yet."""
    work = {"v": 1, "page": "", "key": "", "gen": 1, "items": items}
    return BEGIN + json.dumps(work).encode() + END
