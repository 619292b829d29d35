"""Checks and finds ports of this machine."""

import socket


def check_port(port: int, flag: str, host: str = "127.0.0.1") -> None:
    """Raises ValueError when the port is in use; `flag` is the option that sets another one."""
    with socket.socket() as probe:
        # As servers do: a connection that is still closing does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(
                f"port {port} cannot be used ({error.strerror}); stop the process that uses it, or set another port: "
                f"{flag}"
            ) from None


def free_ports(count: int) -> list[int]:
    """Ports that are currently free."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
