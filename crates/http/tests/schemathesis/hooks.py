"""What schemathesis cannot read in the OpenAPI document: who asks, what exists, and which refusals are about the
programme's state and not about the request.

`cargo xtask contract` runs this and says in HUNCH_URL and HUNCH_FOLDER where a new, empty programme answers, and in
HUNCH_EXCHANGE_URL where its simulated exchange does.
"""

import base64
import hashlib
import hmac
import itertools
import os
import pathlib
import time
import uuid
import zlib
from urllib.parse import urlsplit

import requests
import schemathesis
from requests.auth import AuthBase
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

URL = os.environ["HUNCH_URL"]
FOLDER = pathlib.Path(os.environ["HUNCH_FOLDER"])
EXCHANGE_URL = os.environ["HUNCH_EXCHANGE_URL"]

# A member may ask twenty times a second, so many take turns.
MEMBERS = 40
# These routes change what a member may do: members of their own take them, so that the others can go on staking.
PROTECTING = {"/v1/me/exclusion", "/v1/me/exclusion/return", "/v1/me/break", "/v1/me/limits", "/v1/me/limits/confirm", "/v1/me/prompts"}


# --- Credentials ------------------------------------------------------------------------------------------------------


class Bearer(AuthBase):
    """An operator or a member."""

    def __init__(self, token):
        self.token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Till(AuthBase):
    """Signs what is really sent: it is called when the body is bytes."""

    def __init__(self, session, key):
        self.session, self.key = session, key

    def __call__(self, request):
        now, digest = str(int(time.time())), hashlib.sha256(body_of(request)).hexdigest()
        text = "\n".join([now, request.method, urlsplit(request.url).path, digest])
        request.headers["Hunch-Session"] = self.session
        request.headers["Hunch-Timestamp"] = now
        request.headers["Hunch-Signature"] = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
        return request


class Relay(AuthBase):
    """Calls the webhook."""

    secret = (FOLDER / "webhook-secret").read_bytes().strip()

    def __call__(self, request):
        now = str(int(time.time()))
        signature = hmac.new(self.secret, now.encode() + b"." + body_of(request), hashlib.sha256).hexdigest()
        request.headers["Hunch-Webhook-Signature"] = f"t={now},v1={signature}"
        return request


def body_of(request):
    body = request.body or b""
    return body.encode() if isinstance(body, str) else body


# --- A small town -----------------------------------------------------------------------------------------------------


def ask(method, path, auth, body=None, url=URL):
    answer = requests.request(method, url + path, json=body, auth=auth, timeout=10)
    answer.raise_for_status()
    return answer.json()


def until(look):
    """Waits for what the programme does by itself soon after."""
    for _ in range(100):
        if found := look():
            return found
        time.sleep(0.2)
    raise TimeoutError(look)


def sign_in(code):
    return Bearer(ask("POST", "/v1/sign-in", None, {"code": code})["token"])


OPERATOR = Bearer((FOLDER / "operator-token").read_text().strip())
# Corrections need a second person.
APPROVER = Bearer((FOLDER / "approver-token").read_text().strip())

MERCHANT = {
    "merchant": str(uuid.uuid4()), "name": "Rosa's Bakery", "category": "bakery", "zone": "America/New_York",
    "currency": "USD", "points_per_unit": 10, "per_cents": 1, "points_max": 1_000_000,
}
ask("POST", "/v1/ops/merchants", OPERATOR, MERCHANT)
TERMINAL = ask("POST", "/v1/ops/terminals", OPERATOR, {"merchant": MERCHANT["merchant"], "name": "front till"})
session = ask("POST", "/v1/pos/sessions", None, TERMINAL)
TILL = Till(session["session"], base64.b64decode(session["key"]))

def a_person():
    """Somebody new each time: who is a member already does not join again."""
    name = uuid.uuid4().hex
    return {
        "full_name": f"Liam {name}", "email": f"{name}@example.com", "phone": "", "birth_date": "1980-01-01",
        "home_zone": "America/New_York",
    }


newcomers = [a_person() for _ in range(2 * MEMBERS)]
people = ask("POST", "/v1/ops/members", OPERATOR, {"members": newcomers, "reusable_codes": True})["members"]
PURCHASE = {
    "amount_cents": 100_000, "currency": "USD", "purchased_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60)),
}
purchases = [PURCHASE | {"receipt": str(uuid.uuid4()), "member_token": one["member_token"]} for one in people]
sold = ask("POST", "/v1/pos/purchases/batch", TILL, {"purchases": purchases})["results"]

phones = [sign_in(one["sign_in_code"]) for one in people]
NEW_YORK = {"latitude": 40.7128, "longitude": -74.006, "accuracy_metres": 25.0}
for phone in phones:
    ask("PUT", "/v1/me/place", phone, NEW_YORK)
STAKING, PROTECTED = itertools.cycle(phones[:MEMBERS]), itertools.cycle(phones[MEMBERS:])
CODES = itertools.cycle(one["sign_in_code"] for one in people)
TOKENS = itertools.cycle(one["member_token"] for one in people)
# Changed and taken back is only what is of those who do not stake.
CHANGED = itertools.cycle(one["member_token"] for one in people[MEMBERS:])
SOLD = itertools.cycle(one["recorded"]["purchase"] for one in sold[MEMBERS:])

# Whose a quote, an order, a notice or a subscription is: to everyone else it does not exist.
OWNER = {}


def owned(phone, id):
    OWNER[id] = phone
    return id


def open_markets():
    return [market["market"] for market in ask("GET", "/v1/markets?status=open&limit=200", next(STAKING))["markets"]]


def a_quote(*markets):
    """Of the first market that somebody offers."""
    phone = next(STAKING)
    for market in markets or open_markets():
        for side in ("yes", "no"):
            wish = {"market": market, "side": side, "stake_points": 10}
            answer = requests.post(URL + "/v1/quotes", json=wish, auth=phone, timeout=10)
            if answer.status_code == 201:
                return owned(phone, answer.json()["quote"])


def an_order(*markets):
    quote = a_quote(*markets)
    return quote and owned(OWNER[quote], ask("POST", "/v1/orders", OWNER[quote], {"quote": quote})["order"])


def a_notice():
    phone = phones[0]
    notices = ask("GET", "/v1/me/inbox", phone)["notices"]
    return notices and owned(phone, notices[0]["notice"])


DEVICE = {
    "device": str(uuid.uuid4()), "endpoint": "https://push.example.com/send/f3Gk", "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
}


def a_subscription():
    phone = next(STAKING)
    return owned(phone, ask("POST", "/v1/me/push-subscriptions", phone, DEVICE)["subscription"])


ORDER, NOTICE = until(an_order), until(a_notice)


REFEREE = Bearer((FOLDER / "simulator-control-token").read_text().strip())


def referee(path, body=None):
    ask("POST", "/sim/v1/markets" + path, REFEREE, body or {}, EXCHANGE_URL)


# A no and a yes in turn: each correction pays something else than what was paid before.
RESULTS = itertools.cycle([{"result": "no", "value": "0"}, {"result": "yes", "value": "1"}])


def propose(market):
    """A correction's id and what was sent, if it could be proposed: of a market that was paid something else, with no other one open."""
    wrong = {"market": market, "reason": "the exchange was wrong"} | next(RESULTS)
    answer = requests.post(URL + "/v1/ops/corrections", json=wrong, auth=OPERATOR, timeout=10)
    return answer.ok and (answer.json()["correction"], wrong)


def approve(correction):
    requests.post(URL + f"/v1/ops/corrections/{correction}/approval", auth=APPROVER, timeout=10)


def end(correction):
    requests.post(URL + f"/v1/ops/corrections/{correction}/end", auth=OPERATOR, timeout=10)


def a_paid_market():
    """Where ORDER went, ended before its time."""
    look = lambda: ask("GET", f"/v1/orders/{ORDER}", OWNER[ORDER])
    market = until(lambda: look()["state"] == "filled" and look()["market"])
    for verb, body in (("close", None), ("determine", {"result": "yes"}), ("finalize", None)):
        referee(f"/{market}/{verb}", body)
    approve(until(lambda: propose(market))[0])
    return market


PAID = a_paid_market()


def open_corrections():
    return [one for one in ask("GET", "/v1/ops/corrections", OPERATOR)["corrections"] if one["market"] == PAID]


def a_waiting_correction():
    """One that nobody has approved. A market has one at a time, so it may be one that was asked for before."""
    waiting = [one["correction"] for one in open_corrections() if not one.get("approved_by")]
    return waiting[0] if waiting else until(lambda: propose(PAID))[0]


def room_for_a_correction():
    """What can be proposed now: the one that waits was given up, and one that was approved has been carried out."""
    for one in open_corrections():
        end(one["correction"])
    made, possible = until(lambda: propose(PAID))
    end(made)
    return possible


def a_newcomer():
    """Who joins, with a code."""
    return ask("POST", "/v1/ops/members", OPERATOR, {"members": [a_person()], "reusable_codes": True})["members"][0]


def a_proposal():
    """A funding that waits for a second person."""
    funding = {"reference": str(uuid.uuid4()), "exchange_shard": 0, "dollars": "0.10"}
    return ask("POST", "/v1/ops/fundings", OPERATOR, funding)["proposal"]


def a_till():
    """One that nobody sells at."""
    return ask("POST", "/v1/ops/terminals", OPERATOR, {"merchant": MERCHANT["merchant"], "name": "till"})["terminal"]


def a_shop():
    """One where nobody buys."""
    return ask("POST", "/v1/ops/merchants", OPERATOR, MERCHANT | {"merchant": str(uuid.uuid4())})["merchant"]


def a_likeness():
    """Of the second of two newcomers with one name and one birth date."""
    one = a_person() | {"email": ""}
    pair = ask("POST", "/v1/ops/members", OPERATOR, {"members": [one, one | {"home_zone": "America/Chicago"}]})["members"]
    return pair[1]["member_token"]


def a_watched_till():
    """Beside the one that others sell at."""
    added = ask("POST", "/v1/ops/terminals", OPERATOR, {"merchant": MERCHANT["merchant"], "name": "side till"})
    watch = requests.put(URL + f"/v1/ops/terminals/{added['terminal']}/watch", json={"why": "new here"}, auth=OPERATOR, timeout=10)
    watch.raise_for_status()
    opened = ask("POST", "/v1/pos/sessions", None, {"terminal": added["terminal"], "secret": added["secret"]})
    return added["terminal"], Till(opened["session"], base64.b64decode(opened["key"]))


WATCHED, WATCHED_TILL = a_watched_till()


def a_review():
    """A purchase whose points wait."""
    return ask("POST", "/v1/pos/purchases", WATCHED_TILL, a_purchase())["purchase"]


def a_purchase():
    return PURCHASE | {"receipt": str(uuid.uuid4()), "member_token": next(TOKENS)}


OFFER = {"title": "Sourdough week", "bonus_points": 20}


def an_offer():
    """From yesterday for a month, under an id of its own."""
    day = lambda n: time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 86_400 * n))
    return {"offer": str(uuid.uuid4()), "merchant": MERCHANT["merchant"], "valid_from": day(-1), "valid_to": day(30)}


# Fields that tell of what exists. Most requests get them; the others keep what schemathesis made.
EXISTING = {
    "/v1/sign-in": lambda: {"code": next(CODES)},
    "/v1/pos/sessions": lambda: TERMINAL,
    "/v1/pos/purchases": lambda: a_purchase() | {"member_code": None},
    "/v1/pos/purchases/batch": lambda: {"purchases": [a_purchase()]},
    "/v1/pos/returns": lambda: {"purchase": next(SOLD)},
    "/v1/ops/merchants": lambda: {"merchant": str(uuid.uuid4()), "zone": "America/New_York"},
    "/v1/ops/merchants/{merchant}": lambda: {"merchant": MERCHANT["merchant"], "zone": "America/New_York"},
    "/v1/ops/merchants/{merchant}/earn-rules": lambda: {"merchant": MERCHANT["merchant"], "rule": str(uuid.uuid4())},
    "/v1/ops/members": lambda: {"members": [a_person()]},
    "/v1/ops/members/{member}": lambda: {"member": next(CHANGED)},
    "/v1/ops/terminals": lambda: {"terminal": str(uuid.uuid4()), "merchant": MERCHANT["merchant"]},
    "/v1/ops/offers": an_offer,
    "/v1/ops/offers/{offer}/end": lambda: {"offer": ask("POST", "/v1/ops/offers", OPERATOR, an_offer() | OFFER)["offer"]},
    "/v1/ops/fundings": lambda: {"dollars": "0.10", "reference": str(uuid.uuid4())},
    "/v1/ops/corrections": room_for_a_correction,
    "/v1/ops/corrections/{id}/approval": lambda: {"id": a_waiting_correction()},
    "/v1/ops/corrections/{id}/end": lambda: {"id": a_waiting_correction()},
    "/v1/ops/corrections/{id}/retry": lambda: {"id": a_waiting_correction()},
    "/v1/ops/orders/{id}/end": lambda: {"id": ORDER},
    "/v1/ops/likenesses/{member}/decision": lambda: {"member": a_likeness()},
    "/v1/ops/reviews/{purchase}/decision": lambda: {"purchase": a_review()},
    "/v1/ops/terminals/{terminal}/watch": lambda: {"terminal": a_till()},
    "/v1/ops/terminals/{terminal}/open": lambda: {"terminal": a_till()},
    "/v1/ops/merchants/{merchant}/open": lambda: {"merchant": a_shop()},
    "/v1/ops/members/{member}/recovery": lambda: {"member": a_newcomer()["member_token"]},
    "/v1/ops/proposals/{id}/approval": lambda: {"id": a_proposal()},
    "/v1/ops/proposals/{id}/end": lambda: {"id": a_proposal()},
    "/v1/me/place": lambda: NEW_YORK,
    "/v1/me/limits": lambda: {"day_points": 100, "week_points": 500},
    "/v1/me/push-subscriptions": lambda: DEVICE,
    "/v1/me/push-subscriptions/{id}": lambda: {"id": a_subscription()},
    "/v1/notices/{id}": lambda: {"id": NOTICE},
    "/v1/orders/{id}": lambda: {"id": ORDER},
    "/v1/markets/{market}": lambda: {"market": open_markets()[0]},
    "/v1/quotes": lambda: {"market": open_markets()[0], "stake_points": 10},
    "/v1/orders": lambda: {"quote": a_quote()},
    "/webhooks/settlement": lambda: {"market_id": open_markets()[0]},
}


# --- Who asks for what ------------------------------------------------------------------------------------------------


def scheme(operation):
    """The kind of credentials that the document asks for."""
    needed = operation.definition.raw.get("security") or [{}]
    return next(iter(needed[0]), "anyone")


def strings(value):
    """Every text in a piece of JSON: what may be an id."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, str) else [text for part in inner for text in strings(part)]


@schemathesis.auth(refresh_interval=None)
class Credentials:
    def get(self, case, context):
        path = case.operation.path
        match scheme(case.operation):
            case "operator":
                return APPROVER if path.endswith("/approval") else OPERATOR
            case "terminal":
                return TILL
            case "webhook":
                return Relay()
            case "member" if path.startswith("/v1/sign-out"):
                return sign_in(a_newcomer()["sign_in_code"])
            case "member":
                return next(PROTECTED if path in PROTECTING else STAKING)

    def set(self, case, data, context):
        # Not among the case's headers: a signature is made of the bytes that are sent.
        case._auth = data


def is_kind_of(made, existing):
    """A field that is absent or of another type is what the case is about; to JSON Schema 52.0 is an integer."""
    whole = isinstance(made, float) and made.is_integer() and isinstance(existing, int)
    return type(made) is type(existing) or whole


@schemathesis.hook
def before_call(context, case, kwargs):
    # Chosen by the request and not by chance: the same one is sent the same way when it is tried again.
    # An example stands alone, so it always gets them.
    example = case.meta and case.meta.phase.name.value == "examples"
    if example or zlib.crc32(repr((case.body, case.path_parameters)).encode()) % 4:
        fields = EXISTING.get(case.operation.path, dict)()
        right = case.meta is None or case.meta.generation.mode.is_positive
        for place in (case.body, case.path_parameters if right else None):
            if isinstance(place, dict):
                place |= {name: v for name, v in fields.items() if v is None or is_kind_of(place.get(name), v)}
                # Who buys is told by token or by code; here by token.
                if "member_token" in fields and place.get("member_token") is None:
                    place["member_token"] = fields["member_token"]
        # A subscription is told in one of two forms; here in the flat one.
        if right and case.operation.path == "/v1/me/push-subscriptions" and isinstance(case.body, dict):
            case.body |= DEVICE | {"keys": None}
    # A key stands for one request, and short ones come again and again.
    if case.headers and str(case.headers.get("Idempotency-Key", "")).isalnum():
        case.headers["Idempotency-Key"] += uuid.uuid4().hex[:8]
    owner = next((OWNER[text] for text in strings([case.body, case.path_parameters]) if text in OWNER), None)
    if owner and case._auth and scheme(case.operation) == "member":
        case._auth = owner


@schemathesis.hook
def after_call(context, case, response):
    if scheme(case.operation) == "member" and response.status_code < 300 and case._auth:
        OWNER.update((text, case._auth) for text in strings(json_of(response)) if len(text) == 36)
    if case.operation.path == "/v1/ops/staking":
        ask("PUT", "/v1/ops/staking", OPERATOR, {"on": True, "reason": "the others go on"})


# --- Judgement --------------------------------------------------------------------------------------------------------

# Refusals of a good request that no schema can foretell: the problem's type, words of its sentence, and where a type means
# more than one thing, the route.
RIGHT_REFUSALS = [
    # What does not exist, or is somebody else's.
    ("not-found", ""),
    ("unknown-", ""),
    ("invalid", "there is no such merchant"),
    ("sign-in-code", ""),
    ("unauthenticated", "this terminal or its secret is not known"),
    # What cannot be done now.
    ("no-raise", ""),
    ("protected", ""),
    ("correction", ""),
    ("receipt-reused", ""),
    ("currency", ""),
    ("funding-reused", ""),
    ("second-person", ""),
    ("proposal", ""),
    ("future-date", ""),
    ("quote-used", ""),
    ("market-closed", ""),
    ("idempotency-key-reused", ""),
    ("quote-expired", ""),
    ("place-unknown", ""),
    ("stake-", ""),
    ("exchange-closed", ""),
    ("not-excluded", ""),
    ("exclusion-runs", ""),
    ("past-date", ""),
    ("invalid", "valid_to is past already", "/v1/ops/offers"),
    ("invalid", "at least bonus_points", "/v1/ops/offers"),
    # Ids that the caller chooses: what stands under one of them already, with other content.
    ("already-exists", "this merchant exists already with another", "/v1/ops/merchants"),
    ("already-exists", "this earn rule exists already with another", "/v1/ops/merchants/{merchant}/earn-rules"),
    ("already-exists", "this earn rule of this moment exists already", "/v1/ops/merchants/{merchant}/earn-rules"),
    ("already-exists", "this terminal exists already with another", "/v1/ops/terminals"),
    ("already-exists", "this offer exists already with another", "/v1/ops/offers"),
    ("already-exists", ".member_token is a member with another", "/v1/ops/members"),
    ("already-a-member", "this person is a member already", "/v1/ops/members"),
    ("already-a-member", "with this data the member would be", "/v1/ops/members/{member}"),
    ("already-decided", "has decided already that this is", "/v1/ops/likenesses/{member}/decision"),
    ("invalid", "must not be in the past"),
    ("invalid", "within ten years"),
    ("invalid", "must be after valid_from"),
    # Texts with a meaning that patterns do not tell, and fields that depend on each other.
    ("invalid", "send back the cursor"),
    ("invalid", "nothing is to be changed"),
    # The programme's own limits are a setting.
    ("limits", "the most that can be staked here is", "/v1/me/limits"),
    ("limits", "a day do not fit into", "/v1/me/limits"),
    ("invalid", "time zone"),
    ("invalid", "an amount that is not zero"),
    ("invalid", "send either member_token or member_code"),
    ("invalid", "an end after its start"),
    ("invalid", "a yes pays 1, a no pays 0"),
    ("invalid", "payout is what one contract pays"),
    ("invalid", "idempotency-key"),
    ("push-subscription", ""),
    # To JSON Schema 52.0 is an integer, and U+0000 a character like others.
    ("bad-json", "must be a whole number"),
    ("bad-json", "u+0000"),
    # JSON Schema has no words for the bounds of a date, nor for those of an amount that depend on its currency.
    ("invalid", "in the years"),
    ("amount", ""),
]


def json_of(response):
    return response.json() if "json" in response.headers.get("content-type", [""])[0] else {}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """False: this is no failure."""
    answer = json_of(response)
    if isinstance(failure, RejectedPositiveData):
        kind, detail = answer["type"].removeprefix("/problems/"), answer.get("detail", "")
        # The unsigned or wrongly signed request is one of schemathesis's own.
        if kind == "unauthenticated" and case.meta and "Hunch-Signature" in (case.headers or {}):
            return False
        told = lambda prefix, words, route=case.operation.path: (
            kind.startswith(prefix) and words in detail.lower() and route == case.operation.path
        )
        return not any(told(*right) for right in RIGHT_REFUSALS)
    if isinstance(failure, AcceptedNegativeData) and case.operation.path == "/v1/pos/purchases/batch":
        # Each purchase of a batch is answered by itself.
        return not answer["refused"]
    return True


# They need a raise that has waited a day, an exclusion whose term is over, an order that stays unclear for a minute, and a
# correction that was approved and could not be carried out: their own tests have them. Here they meet what strangers send.
OUT_OF_REACH = {
    "POST /v1/me/limits/confirm",
    "POST /v1/me/exclusion/return",
    "POST /v1/ops/orders/{id}/end",
    "POST /v1/ops/corrections/{id}/retry",
}


@schemathesis.check
class EveryRouteWorks:
    """A route that never answers with success was not tested."""

    def __init__(self):
        self.cases, self.tested, self.worked = {}, set(), set()

    def after_response(self, ctx, response, case):
        self.cases.setdefault(scheme(case.operation), set()).add(case.id)
        self.tested.add(case.operation.label)
        if response.status_code < 300:
            self.worked.add(case.operation.label)

    def after_run(self, ctx):
        for kind, cases in sorted(self.cases.items()):
            print(f"     {kind}: {len(cases)} cases")
        if idle := self.tested - self.worked - OUT_OF_REACH:
            raise AssertionError("never answered with success: " + ", ".join(sorted(idle)))
