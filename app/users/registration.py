"""Registration: an account is made when the letter to its address is answered, not before.

So nobody can take an address that is not theirs, or give it a password before its owner comes.
"""

from app import audit, mail
from app.errors import Conflict
from app.services import Services
from app.tables import Account
from app.users import accounts, letters, one_time, passwords

VERIFY = "verify"
LIVES_S = 24 * 3600.0


async def register(services: Services, email: str, password: str) -> None:
    """The same work whether the address has an account or not; only its owner is told which."""
    passwords.accept(password, email=email)
    hashed = await services.passwords.hash(password)
    settings = services.settings
    async with services.transaction() as session:
        known = await accounts.by_email(session, email)
        if known is not None and known.email is not None:
            mail.write(session, known.email, *letters.registered_already(settings))
            return
        data = {"email": email, "password_hash": hashed}
        token = await one_time.issue(session, VERIFY, None, data, LIVES_S)
        mail.write(session, email, *letters.verify(settings, token))


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
