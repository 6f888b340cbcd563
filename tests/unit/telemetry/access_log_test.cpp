#include "telemetry/access_log.hpp"

#include "support/temporary_folder.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace scoregate::telemetry;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

using folder = scoregate::tests::temporary_folder;

// The reading end of a FIFO. Nothing is read until the test asks for it.
class fifo {
public:
    explicit fifo(const std::string& path) : path_(path) {
        if (::mkfifo(path.c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
        connect();
    }
    ~fifo() { disconnect(); }
    void connect() { fd_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); }
    void disconnect() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    int unread() const {
        int bytes = 0;
        ::ioctl(fd_, FIONREAD, &bytes);
        return bytes;
    }
    bool full() const {
        const int fd = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        pollfd input{fd, POLLOUT, 0};
        const bool room = ::poll(&input, 1, 0) > 0;
        ::close(fd);
        return !room;
    }
    // Until the writer has closed its end.
    std::string read_to_end() const {
        ::fcntl(fd_, F_SETFL, 0);
        std::string all;
        std::array<char, 65536> some;
        for (ssize_t got; (got = ::read(fd_, some.data(), some.size())) > 0;)
            all.append(some.data(), static_cast<std::size_t>(got));
        return all;
    }

private:
    std::string path_;
    int fd_ = -1;
};

void await(const std::function<bool()>& happened) {
    while (!happened()) std::this_thread::yield();
}

std::unique_ptr<access_log> opened(access_log::options options) {
    auto log = access_log::open(std::move(options));
    if (!log) FAIL(log.error());
    return std::move(*log);
}

// A line that names its core and its place in that core's order.
access_record numbered(std::string_view core, std::uint64_t number) {
    return {.request_id = core, .path = "/api/v1/service/iris/score", .status = 200, .bytes_in = number};
}

std::string contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

std::uint64_t number_in(const std::string& line) { return nlohmann::json::parse(line)["bytes_in"]; }

} // namespace

TEST_CASE("every line of two cores arrives once, in each core's order") {
    constexpr std::uint64_t count = 20000;
    folder in;
    const auto log = opened({.path = in / "access.log", .cores = 2});
    const auto serve = [&](unsigned core, std::string_view name) {
        for (std::uint64_t i = 0; i < count; ++i) {
            log->at(core).write(numbered(name, i));
            if (i % 777 == 0) log->at(core).flush();
        }
    };
    std::thread one(serve, 0, "zero"), two(serve, 1, "one");
    one.join();
    two.join();
    log->stop();

    CHECK(log->dropped() == 0);
    CHECK(log->write_errors() == 0);
    std::map<std::string, std::uint64_t> next;
    for (const auto& line : lines_of(contents(in / "access.log"))) {
        const auto read = nlohmann::json::parse(line);
        const auto place = next[read["request_id"]]++;
        if (read["bytes_in"] != place) FAIL(line);
    }
    CHECK(next == std::map<std::string, std::uint64_t>{{"zero", count}, {"one", count}});
}

TEST_CASE("a flush is written out without waiting for more") {
    folder in;
    fifo output(in / "pipe");
    const auto log = opened({.path = in / "pipe"});
    log->at(0).write(numbered("zero", 1));
    CHECK(output.unread() == 0);
    log->at(0).flush();
    await([&] { return output.unread() > 0; });
    log->stop();
}

TEST_CASE("a full block is handed over without a flush") {
    folder in;
    fifo output(in / "pipe");
    const auto log = opened({.path = in / "pipe"});
    for (std::uint64_t i = 0; i < 300; ++i) log->at(0).write(numbered("zero", i)); // over 32 KiB
    await([&] { return output.unread() >= 32768; });
    log->stop();
}

TEST_CASE("stop writes what was never flushed, and the destructor stops") {
    folder in;
    {
        const auto log = opened({.path = in / "access.log", .cores = 2});
        log->at(0).write(numbered("zero", 1));
        log->at(1).write(numbered("one", 2));
    }
    const auto lines = lines_of(contents(in / "access.log"));
    REQUIRE(lines.size() == 2);
    CHECK(number_in(lines[0]) == 1);
    CHECK(number_in(lines[1]) == 2);
}

TEST_CASE("with an output that is not read, lines over the bound are dropped and counted, never waited for") {
    constexpr std::uint64_t count = 10000;
    folder in;
    fifo output(in / "pipe");
    auto log = opened({.path = in / "pipe", .max_pending = 128 << 10});
    auto& core = log->at(0);
    std::uint64_t written = 0;
    while (written < 600) core.write(numbered("zero", written++)); // more than the pipe holds, less than the bound
    await([&] { return output.full(); });                          // from here on the writer is stuck
    CHECK(log->dropped() == 0);
    while (written < count) core.write(numbered("zero", written++));
    const auto dropped = log->dropped();
    std::string line;
    append_json(line, numbered("zero", count));
    // Pipe, writer and the core's own block, and one line over.
    CHECK((count - dropped) * line.size() < (64 + 128 + 32 + 1) * 1024);
    CHECK((count - dropped) * line.size() > 128 * 1024);
    core.flush();
    core.write(numbered("zero", count));
    CHECK(log->dropped() == dropped + 1);

    std::string text;
    std::thread reader([&] { text = output.read_to_end(); });
    // Once it is read again, so are new lines taken.
    std::uint64_t last = count + 1;
    await([&] {
        const auto before = log->dropped();
        core.flush();
        core.write(numbered("zero", ++last));
        return log->dropped() == before;
    });
    log->stop(10min);
    const auto dropped_at_end = log->dropped();
    log.reset();
    reader.join();

    const auto lines = lines_of(text);
    CHECK(lines.size() + dropped_at_end == last);
    for (std::uint64_t i = 0; i + 1 < lines.size(); ++i)
        if (number_in(lines[i]) != i) FAIL(lines[i]);
    CHECK(number_in(lines.back()) == last);
}

TEST_CASE("stop does not wait for ever for an output that is not read") {
    constexpr std::uint64_t count = 10000;
    folder in;
    fifo output(in / "pipe");
    auto log = opened({.path = in / "pipe"});
    for (std::uint64_t i = 0; i < count; ++i) log->at(0).write(numbered("zero", i));
    log->stop(0ms);
    const auto dropped = log->dropped();
    CHECK(dropped > 0);
    log.reset();
    const auto text = output.read_to_end();
    CHECK(static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')) + dropped == count);
}

TEST_CASE("a pipe that nobody reads any more is an error that is counted, not the end of the process") {
    folder in;
    fifo output(in / "pipe");
    const auto log = opened({.path = in / "pipe"});
    output.disconnect();
    log->at(0).write(numbered("zero", 1));
    log->at(0).write(numbered("zero", 2));
    log->stop();
    CHECK(log->write_errors() == 1);
    CHECK(log->dropped() == 2);
}

TEST_CASE("a line cut by an error never runs into the next one") {
    folder in;
    fifo output(in / "pipe");
    auto log = opened({.path = in / "pipe"});
    auto& core = log->at(0);
    std::uint64_t written = 0;
    while (written < 2000) core.write(numbered("zero", written++)); // more than the pipe holds
    await([&] { return output.full(); });
    output.disconnect();
    await([&] { return log->write_errors() > 0; });
    output.connect(); // the pipe kept what it held
    std::string text;
    std::thread reader([&] { text = output.read_to_end(); });
    core.write(numbered("zero", written++));
    log->stop(10min);
    const auto dropped = log->dropped();
    log.reset();
    reader.join();

    std::uint64_t whole = 0, cut = 0;
    for (const auto& line : lines_of(text)) ++(nlohmann::json::accept(line) ? whole : cut);
    CHECK(cut == 1);
    CHECK(dropped > 0);
    CHECK(whole + dropped == written);
    CHECK(number_in(lines_of(text).back()) == written - 1);
}

TEST_CASE("reopen: later lines go to a new file of the same name") {
    folder in;
    const auto log = opened({.path = in / "access.log"});
    log->at(0).write(numbered("zero", 1));
    log->at(0).flush();
    await([&] { return fs::file_size(in / "access.log") > 0; });
    fs::rename(in / "access.log", in / "access.log.1");
    log->reopen();
    await([&] { return fs::exists(in / "access.log"); });
    log->at(0).write(numbered("zero", 2));
    log->stop();
    const auto before = lines_of(contents(in / "access.log.1")), after = lines_of(contents(in / "access.log"));
    REQUIRE(before.size() == 1);
    REQUIRE(after.size() == 1);
    CHECK(number_in(before[0]) == 1);
    CHECK(number_in(after[0]) == 2);
}

TEST_CASE("a reopen that fails keeps the old file") {
    folder in;
    const auto log = opened({.path = in / "access.log"});
    fs::rename(in / "access.log", in / "access.log.1");
    fs::create_directory(in / "access.log");
    log->reopen();
    log->at(0).write(numbered("zero", 1));
    log->stop();
    CHECK(lines_of(contents(in / "access.log.1")).size() == 1);
}

TEST_CASE("of successes some are written, of failures and what is slow all") {
    folder in;
    const auto log = opened({.path = in / "access.log", .cores = 2, .sample_successes = 100, .slow = 1s});
    for (unsigned core = 0; core < 2; ++core)
        for (std::uint64_t i = 0; i < 10000; ++i) {
            log->at(core).write({.status = 200, .duration = 999ms});
            if (i % 100 == 0) log->at(core).write({.status = 404, .duration = 1ms});
            if (i % 200 == 0) log->at(core).write({.status = 200, .duration = 1s});
        }
    log->stop();
    CHECK(log->left_out() == 2 * 9900);
    CHECK(log->dropped() == 0);
    std::map<std::pair<int, bool>, int> lines; // by status, and whether it was slow
    for (const auto& line : lines_of(contents(in / "access.log"))) {
        const auto read = nlohmann::json::parse(line);
        ++lines[{read["status"].get<int>(), read["duration_ms"] >= 1000}];
    }
    CHECK(lines[{200, false}] == 2 * 100);
    CHECK(lines[{200, true}] == 2 * 50);
    CHECK(lines[{404, false}] == 2 * 100);
}

TEST_CASE("the format is the one that was asked for") {
    folder in;
    const auto log = opened({.path = in / "access.log", .format = scoregate::config::log_format::text});
    log->at(0).write(numbered("zero", 1));
    log->stop();
    const auto lines = lines_of(contents(in / "access.log"));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("- - - ["));
    CHECK(lines[0].ends_with("bytes_in=1 request_id=zero"));
}

TEST_CASE("an existing file is appended to") {
    folder in;
    std::ofstream(in / "access.log") << "{}\n";
    const auto log = opened({.path = in / "access.log"});
    log->at(0).write(numbered("zero", 1));
    log->stop();
    const auto lines = lines_of(contents(in / "access.log"));
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == "{}");
}

TEST_CASE("a path that cannot be opened is told at once") {
    folder in;
    const auto missing = access_log::open({.path = in / "no/such/folder"});
    REQUIRE_FALSE(missing);
    CHECK(missing.error() == "cannot open the access log " + in / "no/such/folder" + ": No such file or directory");
    ::mkfifo((in / "unread").c_str(), 0600);
    CHECK_FALSE(access_log::open({.path = in / "unread"}));
}

TEST_CASE("a dash is standard output, which stays open") {
    folder in;
    const int before = ::dup(STDOUT_FILENO);
    const int file = ::open((in / "out").c_str(), O_WRONLY | O_CREAT, 0600);
    ::dup2(file, STDOUT_FILENO);
    {
        const auto log = opened({.path = "-"});
        log->at(0).write(numbered("zero", 1));
        log->reopen();
        log->at(0).write(numbered("zero", 2));
    }
    const bool still_open = ::fcntl(STDOUT_FILENO, F_GETFD) != -1;
    ::dup2(before, STDOUT_FILENO);
    ::close(before);
    ::close(file);
    CHECK(still_open);
    CHECK(lines_of(contents(in / "out")).size() == 2);
}
