#include "control/file_watch.hpp"

#include "base/gate.hpp"
#include "support/certificates.hpp"

#include <catch2/catch.hpp>

#include <filesystem>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

base::task<> look(file_watch& watch, int& looks) {
    for (;;) {
        co_await watch.due();
        ++looks;
    }
}

struct fixture {
    fixture() { base::spawn(io.get_executor(), inside, look(watch, looks)); }

    // How many looks there are by the time `change` was seen: an event brings one well before the interval does.
    template <class Change>
    bool seen_before_the_interval(Change change) {
        io.restart();
        io.run_for(file_watch::breath * 2); // due() has begun to wait
        const auto before = looks;
        const auto began = std::chrono::steady_clock::now();
        change();
        while (looks == before) io.run_one_for(10s);
        return std::chrono::steady_clock::now() - began < file_watch::interval / 2;
    }

    base::asio::io_context io{1};
    base::gate inside;
    file_watch watch{io.get_executor()};
    int looks = 0;
    tests::pem_directory folder;
};

} // namespace

TEST_CASE("however a file is replaced, it is looked at at once") {
    fixture at;
    const auto root = at.folder.path();
    const auto file = at.folder.write("cert.pem", "one");
    fs::create_directory(root / "elsewhere");
    fs::create_directory(root / "first");
    fs::create_directory(root / "second");
    at.folder.write("elsewhere/real.pem", "one");
    at.folder.write("first/tls.crt", "one");
    at.folder.write("second/tls.crt", "two");
    fs::create_symlink("elsewhere/real.pem", root / "link.pem");
    fs::create_symlink("first", root / "..data");
    fs::create_symlink("..data/tls.crt", root / "tls.crt");
    at.watch.follow({file, root / "link.pem", root / "tls.crt"});

    CHECK(at.seen_before_the_interval([&] { at.folder.write("cert.pem", "two"); }));
    CHECK(at.seen_before_the_interval([&] {
        at.folder.write("elsewhere/new.pem", "three");
        fs::rename(root / "elsewhere/new.pem", root / "cert.pem");
    }));
    CHECK(at.seen_before_the_interval([&] { at.folder.write("elsewhere/real.pem", "two"); })); // behind the link
    CHECK(at.seen_before_the_interval([&] {                                                    // as Kubernetes does
        fs::create_symlink("second", root / "..data_tmp");
        fs::rename(root / "..data_tmp", root / "..data");
    }));
    CHECK(at.seen_before_the_interval([&] { fs::remove(file); }));
}

TEST_CASE("a folder that is a link is followed to where it leads, and swapped") {
    fixture at;
    const auto root = at.folder.path();
    fs::create_directory(root / "first");
    fs::create_directory(root / "second");
    fs::create_symlink("first", root / "services");
    const auto follow = [&] { at.watch.follow({root / "services/.", root / "services/iris.json"}); };
    follow();
    CHECK(at.seen_before_the_interval([&] { at.folder.write("first/iris.json", "one"); }));
    CHECK(at.seen_before_the_interval([&] {
        fs::create_symlink("second", root / "next");
        fs::rename(root / "next", root / "services");
    }));
    follow();
    CHECK(at.seen_before_the_interval([&] { at.folder.write("second/iris.json", "two"); }));
}

TEST_CASE("without events a look is due every interval, and at once when hurried") {
    fixture at;
    const auto began = std::chrono::steady_clock::now();
    while (at.looks < 2) at.io.run_one_for(10s);
    CHECK(std::chrono::steady_clock::now() - began >= file_watch::interval);
    CHECK(at.seen_before_the_interval([&] { at.watch.hurry(); }));
}
