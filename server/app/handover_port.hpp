// The Unix socket at which a running process waits for the one that is to follow it (handover.hpp), one at a time.
// Owned by the process; the control thread.
#pragma once

#include "app/handover.hpp"
#include "base/executor.hpp"
#include "base/gate.hpp"
#include "telemetry/log.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace scoregate::app {

// What a process has to offer: its sockets stay its own.
struct offer {
    std::vector<offered_socket> sockets;
    std::vector<int> descriptors; // of these, in their order
};

class handover_port {
public:
    // `made`: what is handed over, asked anew for each successor. `done`: the successor serves, with those sockets;
    // the port has closed by then, its name is the successor's. `undone`: it has ended before, and may have changed
    // the state of the sockets.
    handover_port(base::executor where, std::string path, std::function<offer()> made,
                  std::function<void(pid_t successor, std::vector<std::size_t> taken)> done,
                  std::function<void()> undone);
    handover_port(const handover_port&) = delete;
    handover_port& operator=(const handover_port&) = delete;
    // Removes its names from the file system, as far as they are its own.
    ~handover_port();

    // Listens under a name beside the path, so that what is wrong with it is an error of the start. Returns a sentence
    // then.
    std::optional<std::string> prepare();
    // From now on the path leads here, and no moment without anyone there has passed. False with errno.
    bool publish();
    // No successor from here on; one that is taking over is not heard any more.
    void close();

private:
    using waitable = boost::asio::posix::basic_stream_descriptor<base::executor>;

    base::task<> accept();
    base::task<> hand_over(descriptor to, pid_t successor);
    base::task<> keep_name();
    bool reclaim();
    bool path_is_ours() const;

    base::executor where_;
    std::string path_, temporary_; // temporary_: empty once it has been renamed
    std::function<offer()> made_;
    std::function<void(pid_t, std::vector<std::size_t>)> done_;
    std::function<void()> undone_;
    descriptor prepared_;
    waitable listening_;
    struct stat file_ {}; // of the name that listening_ is bound to
    std::optional<pid_t> successor_;
    telemetry::rate_limited strangers_{std::chrono::seconds(10)};
    base::tick_timer next_look_; // at our name
    base::gate gate_;
    bool published_ = false, closed_ = false;
};

} // namespace scoregate::app
