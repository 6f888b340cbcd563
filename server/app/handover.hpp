// How one process hands its listening sockets to the next: the messages, and the side of the process that starts.
// A Unix socket that keeps messages whole (SOCK_SEQPACKET), both of the same user, or what starts is root and what runs
// is the user that it will be. Text, one thing a line:
//     old -> new   "scoregate-handover 1", then PURPOSE CONFIGURED BOUND for each socket; the sockets themselves go
//                  with it (SCM_RIGHTS), in the same order. Or "busy PID": another process is taking over.
//     new -> old   "serving", then the place in that list of each socket that it uses, from 0. The end of the
//                  connection instead: it does not serve, and the old process goes on.
// A listening socket with its queue is one for all processes that hold it, and ends with the last.
#pragma once

#include "app/found_sockets.hpp"

#include <boost/system/result.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace scoregate::app {

struct offered_socket {
    request_to_listen asked;
    config::endpoint bound;

    friend bool operator==(const offered_socket&, const offered_socket&) = default;
};

inline constexpr std::size_t most_offered = 250;          // SCM_MAX_FD is 253
inline constexpr std::size_t longest_message = 64 * 1024; // bytes; 250 lines need less

std::string to_offer(const std::vector<offered_socket>&);
std::string to_busy(pid_t who);
// The error is a sentence.
boost::system::result<std::vector<offered_socket>, std::string> parse_offer(std::string_view);

std::string to_confirmation(const std::vector<std::size_t>& taken);
// Empty for anything but a confirmation of sockets out of `offered`, each once.
std::optional<std::vector<std::size_t>> parse_confirmation(std::string_view, std::size_t offered);

// One message with descriptors; neither call waits. False with errno; a message is sent whole or not at all.
bool send_message(int to, std::string_view text, const std::vector<int>& descriptors);
struct received {
    std::string text; // empty: the end of the connection
    std::vector<descriptor> descriptors;
};
// Empty: nothing is there yet, or errno, or the message is longer than longest_message.
std::optional<received> receive_message(int from);

struct peer {
    pid_t process = 0;
    bool trusted = false; // of this user, or root, or `also`
};
peer peer_of(int unix_socket, std::optional<uid_t> also = {});

// A stream of whole messages at `path`: made, neither bound nor connected.
descriptor unix_socket();
// Why `path` cannot be the name of a Unix socket of ours, as a sentence; empty if it can. Some bytes are left to a
// temporary name beside it.
std::optional<std::string> wrong_with_socket_path(const std::string& path);

// The running process, as the one that starts sees it. Blocks; start-up only.
class predecessor {
public:
    // Whoever listens at `path` is asked for its sockets and may take `patience` for it. Nothing if nobody listens
    // there. `becoming`: the user that this process will be. The error is a sentence.
    static boost::system::result<std::optional<predecessor>, std::string>
    ask(const std::string& path, std::chrono::milliseconds patience, std::optional<uid_t> becoming = {});

    pid_t process() const { return process_; }
    std::vector<found_socket>& sockets() { return sockets_; }
    // This process serves, `taken` being places in sockets(). False: the predecessor has gone meanwhile.
    bool confirm(const std::vector<std::size_t>& taken) const;

private:
    descriptor connection_;
    pid_t process_ = 0;
    std::vector<found_socket> sockets_;
};

} // namespace scoregate::app
