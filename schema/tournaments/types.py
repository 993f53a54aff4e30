"""The open season."""

from datetime import datetime
from typing import Self

import strawberry
from strawberry import field

from persistence.records import TournamentRecord
from schema.enums import RegistrationState
from schema.node import Node


@strawberry.type(description="The registration window and its state.")
class RegistrationWindow:
    state: RegistrationState = field(description="Whether teams can register now.")
    opens_at: datetime | None = field(description="When registration opens; null for no limit.")
    closes_at: datetime | None = field(description="When registration closes; null for no limit.")
    capacity: int | None = field(description="The maximum number of live teams; null for no limit.")
    taken: int = field(description="The number of live teams: neither rejected nor withdrawn.")
    remaining: int | None = field(description="The number of places left; null for no limit.")


@strawberry.type(description="The open season.")
class Tournament(Node):
    name: str = field(description="The season's name.")
    version: int = field(
        description="A number that starts at 1 and grows by 1 with each change by updateTournament."
    )
    venue: str | None = field(description="The venue; null if it is not known yet.")
    time_zone: str = field(description="The IANA time zone of its dates, e.g. Asia/Kolkata.")
    registration: RegistrationWindow = field(description="The registration window and its state.")
    fee_amount: int | None = field(description="The fee per team, in whole units of feeCurrency.")
    fee_currency: str | None = field(description="The fee's currency in ISO 4217, e.g. INR.")
    upi_id: str | None = field(description="The UPI id that the fee is paid to.")
    upi_payee: str | None = field(description="The payee's name, as UPI apps show it.")

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
