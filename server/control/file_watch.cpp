#include "control/file_watch.hpp"

#include <climits>
#include <filesystem>
#include <sys/inotify.h>
#include <unistd.h>
#include <unordered_set>
#include <utility>

namespace scoregate::control {

namespace {

namespace fs = std::filesystem;

// What can put other content behind a name. Not IN_MODIFY: a log that is written in the same folder would wake us with
// each line, and whoever writes in place closes the file in the end.
constexpr std::uint32_t changes = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ATTRIB |
                                  IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

} // namespace

file_watch::file_watch(base::executor where) : events_(where), timer_(where) {
    const int made = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (made >= 0) events_.assign(made);
}

void file_watch::follow(const std::vector<std::string>& paths) {
    if (!events_.is_open()) return;
    std::unordered_set<std::string> added; // by this call: since the last one another folder may have come in its place
    const auto add = [&](const fs::path& folder) {
        if (added.insert(folder.native()).second) ::inotify_add_watch(events_.native_handle(), folder.c_str(), changes);
    };
    for (const fs::path path : paths) {
        add(path.parent_path());
        std::error_code ec;
        const bool lies_there = path.filename() != "." && !fs::is_symlink(path, ec);
        if (lies_there) continue; // and is not resolved, which would cost more than reading it
        const auto real = fs::canonical(path, ec);
        if (!ec) add(real.parent_path());
    }
}

bool file_watch::take_events() {
    if (!events_.is_open()) return false;
    alignas(inotify_event) char block[16 * (sizeof(inotify_event) + NAME_MAX + 1)];
    bool any = false;
    while (::read(events_.native_handle(), block, sizeof block) > 0) any = true;
    return any;
}

base::task<> file_watch::due() {
    if (std::exchange(hurried_, false)) co_return;
    timer_.expires_after(breath);
    co_await timer_.async_wait(base::awaited);
    if (std::exchange(hurried_, false) || take_events()) co_return;

    timer_.expires_after(interval);
    if (events_.is_open())
        events_.async_wait(descriptor::wait_read, [this](base::error_code ec) {
            if (!ec) timer_.cancel();
        });
    co_await timer_.async_wait(base::awaited);
    base::error_code ignored;
    if (events_.is_open()) events_.cancel(ignored);
    take_events();
    hurried_ = false;
}

void file_watch::hurry() {
    hurried_ = true;
    timer_.cancel();
}

} // namespace scoregate::control
