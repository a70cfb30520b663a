"""Which import is next."""

from app.domain.import_queue import WaitingImport, order_imports


def waiting(*names: str) -> list[WaitingImport]:
    """`a1` is the first archive of tenant a, `A1` one that is still to be fetched; the oldest first."""
    return [WaitingImport(f"{number}{name}", name[0].lower(), name[0].isupper()) for number, name in enumerate(names)]


def order(*names: str, running: str = "", turns: str = "", most: int = 1) -> str:
    """`running`: the tenants of the downloads under way. `turns`: who had one, the last one last."""
    counts = {tenant: running.count(tenant) for tenant in running}
    last = {tenant: number for number, tenant in enumerate(turns, 1)}
    return " ".join(one.id[1:] for one in order_imports(waiting(*names), counts, last, most))


class TestOrderImports:
    def test_what_is_there_goes_first_oldest_first(self) -> None:
        assert order("A1", "b1", "B2", "a2") == "b1 a2 A1 B2"

    def test_the_others_of_a_tenant_wait(self) -> None:
        assert order("A1", "A2", "A3", "B1") == "A1 B1"
        assert order("A1", "A2", "A3", "B1", most=2) == "A1 B1 A2"
        assert order("A1", "B1", running="a") == "B1"
        assert order("A1", "a2", running="a") == "a2"

    def test_any_number_may_run_where_there_is_no_limit(self) -> None:
        assert order("A1", "A2", "B1", running="aaa", most=0) == "B1 A1 A2"

    def test_a_tenant_that_has_fewer_under_way_goes_first(self) -> None:
        assert order("A1", "B1", running="a", most=3) == "B1 A1"

    def test_tenants_take_turns(self) -> None:
        assert order("A1", "B1", "C1", turns="ba") == "C1 B1 A1"
