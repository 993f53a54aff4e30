"""The season that is open now."""

from datetime import datetime
from typing import Self

import strawberry
from strawberry import field

from persistence.records import TournamentRecord
from schema.enums import RegistrationState
from schema.node import Node


@strawberry.type(description="When and whether teams can register.")
class RegistrationWindow:
    state: RegistrationState = field(description="Whether teams can register now.")
    opens_at: datetime | None = field(description="First moment; null: no bound.")
    closes_at: datetime | None = field(description="First moment after the end; null: no bound.")
    capacity: int | None = field(description="Most live teams; null: no bound.")
    taken: int = field(description="Live teams: not rejected, not withdrawn.")
    remaining: int | None = field(description="Places left; null: no bound.")


@strawberry.type(description="The season that is open now.")
class Tournament(Node):
    name: str = field(description="What it is called.")
    version: int = field(
        description="1 at first; grows by one with each updateTournament that changes something."
    )
    venue: str | None = field(description="Where it is played, once that is known.")
    time_zone: str = field(description="The IANA zone of its days, e.g. Asia/Kolkata.")
    registration: RegistrationWindow = field(description="When and whether teams can register.")
    fee_amount: int | None = field(description="Per team, in whole units of feeCurrency.")
    fee_currency: str | None = field(description="ISO 4217, e.g. INR.")
    upi_id: str | None = field(description="Where the fee is paid to by UPI.")
    upi_payee: str | None = field(description="The name that the UPI application shows.")

    @classmethod
    def from_record(cls, record: TournamentRecord, state: RegistrationState) -> Self:
        rules = record.rules
        left = None if rules.capacity is None else max(0, rules.capacity - record.taken)
        return cls(
            id=strawberry.ID(record.id.hex),
            name=record.name,
            version=record.version,
            venue=record.venue,
            time_zone=record.time_zone,
            registration=RegistrationWindow(
                state=state,
                opens_at=rules.opens_at,
                closes_at=rules.closes_at,
                capacity=rules.capacity,
                taken=record.taken,
                remaining=left,
            ),
            fee_amount=record.fee_amount,
            fee_currency=record.fee_currency,
            upi_id=record.upi_id,
            upi_payee=record.upi_payee,
        )
