// Says when to look at files again: at once after inotify(7) has seen a change in one of their folders, and every
// second anyway, because bind mounts and network volumes need not tell. What has changed the caller finds out by
// reading. Owned by whoever looks; control thread, follow() any.
#pragma once

#include "base/executor.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace scoregate::control {

class file_watch {
public:
    // How often without an event, and the pause after a look, in which events are only gathered.
    static constexpr std::chrono::milliseconds interval{1000}, breath{100};

    explicit file_watch(base::executor where);

    // Watches the folders of `paths`, and those that their symbolic links lead to, besides those watched already:
    // where a path was swapped for another, calling it again is what follows. Blocks on the file system. Without
    // inotify, or past its limits, the interval alone remains. `paths` are absolute.
    void follow(const std::vector<std::string>& paths);

    // Until the next look is due. One caller at a time.
    base::task<> due();
    // Ends a due() that waits, now.
    void hurry();

private:
    using descriptor = boost::asio::posix::basic_stream_descriptor<base::executor>;

    // True if there were any.
    bool take_events();

    descriptor events_;
    base::tick_timer timer_;
    bool hurried_ = false;
};

} // namespace scoregate::control
