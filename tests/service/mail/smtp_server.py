"""A mail server for the tests: writes each mail it takes to a directory, and does what its recipients are called.

`refused` is refused for good, `greylisted` the first time, `cut` is cut off the first time before the mail, `swallowed`
the first time after it. Modes: `plain`, `ascii` (no SMTPUTF8), `login` (wants a login and refuses it), `starttls
<certificate> <key>`.
"""

import asyncio
import email
import email.policy
import itertools
import json
import logging
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

folder, mode, *certificate = sys.argv[1:]
logging.disable(logging.CRITICAL)
numbers = itertools.count(1)
seen = set()


def first_time(name):
    new = name not in seen
    seen.add(name)
    return new


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name.startswith("refused"):
            return f"550 5.1.1 <{address}>: Recipient address rejected: User {name} unknown"
        if name.startswith("greylisted") and first_time(name):
            return "451 4.7.1 Greylisted, come back later"
        if name.startswith("cut") and first_time(name):
            server.transport.abort()
            return "250 OK"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        content = envelope.original_content
        mail = email.message_from_bytes(content, policy=email.policy.default)
        text, html = mail.get_body(("plain",)), mail.get_body(("html",))
        kept = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "utf8": "SMTPUTF8" in envelope.mail_options,
            "tls": session.ssl is not None,
            "type": mail.get_content_type(),
            "headers": [[name, str(value)] for name, value in mail.items()],
            "raw_headers": content.split(b"\r\n\r\n")[0].decode("utf-8", "replace"),
            "text": text and text.get_content().replace("\r\n", "\n"),
            "html": html and html.get_content(),
        }
        path = os.path.join(folder, f"{next(numbers):06}.json")
        with open(path + ".new", "w") as file:
            json.dump(kept, file)
        os.rename(path + ".new", path)
        name = envelope.rcpt_tos[0].split("@")[0]
        if name.startswith("swallowed") and first_time(name):
            server.transport.abort()
        return "250 OK"


def server():
    options = {"enable_SMTPUTF8": mode != "ascii", "hostname": "mail.test"}
    if mode == "starttls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        options |= {"tls_context": context, "require_starttls": True}
    if mode == "login":
        refuse = lambda *_: AuthResult(success=False, handled=False)
        options |= {"authenticator": refuse, "auth_required": True, "auth_require_tls": False}
    return SMTP(Handler(), **options)


async def main():
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    # Gone with whoever started it.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


asyncio.run(main())
