// What a daemon tells who started it. systemd's units of Type=notify count as started when the program says so, and not before:
// whoever has waited for `systemctl start` finds its socket.
#pragma once

namespace slipway {

// Says that this daemon serves, to the socket that NOTIFY_SOCKET names; nothing where it names none. A message that nobody takes
// is logged: the manager will say what came of it.
void TellServiceManagerReady();

}  // namespace slipway
