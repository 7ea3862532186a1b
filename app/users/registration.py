"""Registration: an account is made when the letter to its address is answered, not before.

So nobody can take an address that is not theirs, or give it a password before its owner comes.
"""

from app import audit, mail
from app.errors import Conflict
from app.ratelimits import LETTERS
from app.sealing import digest
from app.services import Services
from app.tables import Account
from app.users import accounts, letters, one_time, passwords

VERIFY = "verify"
LIVES_S = 24 * 3600.0


async def register(services: Services, email: str, password: str) -> None:
    """The same work whether the address has an account or not; only its owner is told which."""
    passwords.accept(password, email=email)
    hashed = await services.passwords.hash(password)
    if not await _may_be_written_to(services, email):
        return
    settings = services.settings
    async with services.transaction() as session:
        known = await accounts.by_email(session, email)
        if known is not None:
            mail.write(session, str(known.email), *letters.registered_already(settings))
            return
        data = {"email": email, "password_hash": hashed}
        token = await one_time.issue(session, VERIFY, None, data, LIVES_S)
        mail.write(session, email, *letters.verify(settings, token))


async def _may_be_written_to(services: Services, email: str) -> bool:
    """Many at many addresses of the net could otherwise fill the mailbox of one victim."""
    spent = await services.limiter.spend(LETTERS, f"to:{digest(accounts.email_key(email))}")
    return spent is None or spent.allowed


async def verify(services: Services, token: str) -> Account:
    """The account that was registered, now that its address is known to be theirs."""
    async with services.transaction() as session:
        asked = (await one_time.take(session, VERIFY, token)).data
        if await accounts.by_email(session, asked["email"]) is not None:
            raise Conflict("This address has an account: sign in.", code="email_taken")
        account = await accounts.create(
            session, asked["email"], verified=True, password_hash=asked["password_hash"]
        )
        audit.record(session, account.id, "user.register", f"users:{account.id}", {})
    return account
