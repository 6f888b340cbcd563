#include "telemetry/access_log.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace scoregate::telemetry {
namespace {

constexpr std::size_t block_size = 32 << 10;
constexpr std::size_t block_room = block_size + (8 << 10); // so that the line that fills a block fits it too

std::string error_text(int code) { return std::generic_category().message(code); }

// O_NONBLOCK: a FIFO without a reader is an error at once rather than a start that hangs.
int open_output(const std::string& path) {
    if (path == "-") return STDOUT_FILENO;
    return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
}

std::uint64_t lines_in(std::string_view text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

} // namespace

boost::system::result<std::unique_ptr<access_log>, std::string> access_log::open(options wanted) {
    const int fd = open_output(wanted.path);
    if (fd < 0) return "cannot open the access log " + wanted.path + ": " + error_text(errno);
    return std::unique_ptr<access_log>(new access_log(std::move(wanted), fd));
}

access_log::access_log(options wanted, int fd) : options_(std::move(wanted)) {
    use(fd);
    for (unsigned core = 0; core < options_.cores; ++core) channels_.emplace_back(*this);
    // Signals are for the main thread; and with SIGPIPE blocked a closed pipe is an error like any other.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    writer_ = std::thread(&access_log::run, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

access_log::~access_log() {
    stop();
    if (fd_ != STDOUT_FILENO) ::close(fd_);
}

void access_log::use(int fd) {
    fd_ = fd;
    struct stat is {};
    file_ = ::fstat(fd, &is) == 0 && S_ISREG(is.st_mode);
    torn_ = false;
}

void access_log::reopen() {
    {
        const std::lock_guard lock(mutex_);
        reopen_ = true;
    }
    wake_.notify_one();
}

void access_log::stop(std::chrono::milliseconds patience) {
    if (!writer_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        for (auto& each : channels_)
            if (!each.text_.empty()) {
                each.pending_ += each.text_.size();
                handed_.push_back({std::exchange(each.text_, {}), &each});
            }
        give_up_at_ = clock::now() + patience;
        stopping_ = true;
    }
    wake_.notify_one();
    writer_.join();
}

std::uint64_t access_log::dropped() const {
    auto sum = lost_.value();
    for (const auto& each : channels_) sum += each.dropped_.value();
    return sum;
}

void access_log::run() {
    std::vector<block> taken;
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return !handed_.empty() || reopen_ || stopping_; });
        const bool last = stopping_;
        const bool again = std::exchange(reopen_, false);
        taken.swap(handed_);
        lock.unlock();

        if (again) open_again();
        for (auto& [text, from] : taken) {
            write(text);
            const auto written = text.size();
            text.clear();
            const std::lock_guard giving_back(mutex_);
            from->pending_ -= written;
            if (from->spare_.capacity() < text.capacity()) from->spare_.swap(text);
        }
        taken.clear();
        if (last) break;
        report();
        lock.lock();
    }
    report_limit_ = rate_limited(clock::duration::zero()); // the last word is always said
    report();
}

void access_log::write(std::string_view text) {
    // A poll that says "writable" promises no more than PIPE_BUF bytes of a pipe that blocks, as an inherited stdout
    // does.
    const std::size_t most = file_ ? text.size() : PIPE_BUF;
    bool inside_line = false;
    while (!text.empty()) {
        if (!wait_until_writable()) break;
        const auto next = torn_ ? std::string_view{"\n"} : text.substr(0, most);
        const auto done = ::write(fd_, next.data(), next.size());
        if (done < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (done < 0) {
            last_error_ = errno;
            write_errors_.add();
            break;
        }
        if (std::exchange(torn_, false) || done == 0) continue;
        text.remove_prefix(static_cast<std::size_t>(done));
        inside_line = text.data()[-1] != '\n';
    }
    lost_.add(lines_in(text));
    if (!text.empty()) torn_ = torn_ || inside_line;
}

// False: it is time to end and the output does not take the rest.
bool access_log::wait_until_writable() {
    if (file_) return true;
    for (;;) {
        auto step = std::chrono::milliseconds{100}; // how soon a stalled writer notices stop()
        if (stopping_) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up_at_ - clock::now());
            step = std::clamp(left, std::chrono::milliseconds{0}, step);
        }
        pollfd output{fd_, POLLOUT, 0};
        const int ready = ::poll(&output, 1, static_cast<int>(step.count()));
        if (ready > 0) return true; // or POLLERR: the write says what is wrong
        if (step.count() == 0) return false;
        report();
    }
}

void access_log::open_again() {
    if (options_.path == "-") return;
    const int fd = open_output(options_.path);
    if (fd < 0) {
        log().error("cannot reopen the access log {}: {}; still writing to the old file", options_.path,
                    error_text(errno));
        return;
    }
    ::close(fd_);
    use(fd);
}

void access_log::report() {
    const auto now_lost = dropped();
    const auto failed = write_errors();
    if (now_lost + failed == reported_) return;
    if (!report_limit_.allow(clock::now())) return;
    reported_ = now_lost + failed;
    log().error("access log {}: {} lines lost since the start: {}", options_.path, now_lost,
                failed ? "writing failed " + std::to_string(failed) + " times, last: " + error_text(last_error_)
                       : "the output does not keep up");
}

access_log::channel::channel(access_log& log) : log_(log) { text_.reserve(block_room); }

void access_log::channel::write(const access_record& record) {
    if (full_) return dropped_.add();
    append_json(text_, record);
    if (text_.size() >= block_size) hand_over_whole();
}

void access_log::channel::flush() {
    if (text_.size() >= block_size)
        hand_over_whole();
    else if (!text_.empty())
        hand_over(0);
}

void access_log::channel::hand_over_whole() {
    const auto most = log_.options_.max_pending;
    full_ = !hand_over(most > text_.size() ? most - text_.size() : 0);
}

bool access_log::channel::hand_over(std::size_t most_pending) {
    {
        const std::lock_guard lock(log_.mutex_);
        if (pending_ > most_pending) return false;
        pending_ += text_.size();
        log_.handed_.push_back({std::move(text_), this});
        text_ = std::exchange(spare_, {});
    }
    log_.wake_.notify_one();
    text_.reserve(block_room);
    return true;
}

} // namespace scoregate::telemetry
