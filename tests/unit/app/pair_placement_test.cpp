#include "app/pair_placement.hpp"

#include "app/folder_lock.hpp"
#include "support/certificates.hpp"
#include "tls/certificate_check.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <iterator>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace scoregate;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

std::function<int(int)> at_rename; // what rename(2) is to fail with, 0: nothing; it is told how many there were before
int renames = 0;

} // namespace

extern "C" int rename(const char* from, const char* to) noexcept {
    if (const int error = at_rename ? at_rename(renames++) : 0; error != 0) {
        errno = error;
        return -1;
    }
    return ::renameat(AT_FDCWD, from, AT_FDCWD, to);
}

namespace {

struct renaming {
    explicit renaming(std::function<int(int)> with) {
        renames = 0;
        at_rename = std::move(with);
    }
    ~renaming() { at_rename = nullptr; }
};

using pair_ptr = std::shared_ptr<const tls::certificate>;

pair_ptr make_pair(tests::key_kind kind = tests::key_kind::ec_p256) {
    tests::identity_terms terms;
    terms.key = kind;
    return tests::make_hierarchy(terms).certificate();
}

// What stands there, as a start would take it; empty if it would not.
pair_ptr standing(const config::certificate_files& at) {
    return tls::load_certificate(at, "", std::chrono::system_clock::now()).value;
}
bool stands(const pair_ptr& pair, const config::certificate_files& at) {
    const auto found = standing(at);
    return found && found->fingerprint() == pair->fingerprint();
}
mode_t mode_of(const fs::path& path) {
    struct stat now {};
    REQUIRE(::stat(path.c_str(), &now) == 0);
    return now.st_mode & 0777;
}
std::ptrdiff_t entries(const fs::path& folder) { return std::distance(fs::directory_iterator(folder), {}); }

// A place in a folder of its own, with `pair` in it if there is one.
struct place {
    tests::pem_directory folder;
    config::certificate_files files{folder.path() / "cert.pem", folder.path() / "key.pem", "www.contoso.com"};

    explicit place(const pair_ptr& pair = nullptr, std::string pointer = "") {
        files.pointer = std::move(pointer);
        if (pair) app::put_in_place(*pair, files, 0ms);
    }
};

// Runs `work` in a process of its own; end() is its wait status.
template <class Work>
pid_t begin(Work work) {
    const auto child = ::fork();
    if (child != 0) return child;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL); // they were Catch's
    try {
        work();
    } catch (...) {
        ::_exit(1);
    }
    ::_exit(0);
}
int end(pid_t child) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return status;
}

} // namespace

TEST_CASE("a pair is put in place, its key for the owner alone") {
    place at;
    const auto pair = make_pair();
    app::put_in_place(*pair, at.files, 0ms);
    CHECK(stands(pair, at.files));
    CHECK(mode_of(at.files.key) == 0600);
    CHECK(mode_of(at.files.certificate) == 0644);
    CHECK(entries(at.folder.path()) == 2);
}

TEST_CASE("where the second file cannot take its place, the first is the old one again") {
    const auto old = make_pair(), fresh = make_pair();
    for (const int failing : {0, 1}) {
        place at(old);
        const renaming once([failing](int before) { return before == failing ? EBUSY : 0; });
        CHECK_THROWS_WITH(app::put_in_place(*fresh, at.files, 0ms), Catch::Contains("busy"));
        CHECK(stands(old, at.files));
        CHECK(entries(at.folder.path()) == 2);
    }
}

TEST_CASE("a first file that cannot be taken back is told") {
    const auto old = make_pair(), fresh = make_pair();
    place at(old);
    const renaming all_but_the_first([](int before) { return before > 0 ? EBUSY : 0; });
    try {
        app::put_in_place(*fresh, at.files, 0ms);
        FAIL("it was put in place");
    } catch (const app::half_placed& told) {
        CHECK_THAT(told.what(), Catch::Contains(at.files.key + " holds the new key") &&
                                    Catch::Contains("into " + at.files.certificate));
    }
    CHECK(entries(at.folder.path()) == 2);
}

TEST_CASE("a signal takes effect before or after, never between the two files") {
    const auto old = make_pair(), fresh = make_pair();
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) {
        INFO(number);
        place at(old);
        const auto child = begin([&] {
            const renaming interrupted([number](int before) { return before == 0 ? ::raise(number) : 0; });
            app::put_in_place(*fresh, at.files, 0ms);
        });
        int status = 0;
        REQUIRE(::waitpid(child, &status, WUNTRACED) == child);
        CHECK(stands(fresh, at.files));
        CHECK(entries(at.folder.path()) == 2);
        if (WIFSTOPPED(status)) {
            ::kill(child, SIGCONT);
            status = end(child);
        }
        CHECK((number == SIGTSTP || WTERMSIG(status) == number));
    }
}

TEST_CASE("another one that comes between the two files stays out") {
    const auto first = make_pair(), second = make_pair();
    place at;
    fs::create_directory(at.folder.path() / "keys");
    at.files.key = at.folder.path() / "keys" / "key.pem";
    int status = 0;
    const renaming met([&](int before) {
        if (before != 1) return 0;
        const auto child = begin([&] {
            at_rename = nullptr;
            app::put_in_place(*second, at.files, 0ms);
        });
        status = end(child);
        return 0;
    });
    app::put_in_place(*first, at.files, 0ms);
    CHECK(WEXITSTATUS(status) == 1);
    CHECK(stands(first, at.files));
    CHECK(entries(at.folder.path()) == 2);
    CHECK(entries(at.folder.path() / "keys") == 1);
}

TEST_CASE("a folder that another one works in is waited for, and then nothing has changed") {
    const auto old = make_pair(), fresh = make_pair();
    place at(old);
    const tests::pem_directory keys;
    fs::copy(at.files.key, keys.path());
    at.files.key = keys.path() / "key.pem";
    for (const auto& folder : {at.folder.path(), keys.path()}) {
        const app::folder_lock other(folder, 0ms);
        CHECK_THROWS_WITH(app::put_in_place(*fresh, at.files, 0ms), Catch::Contains(folder.string()));
        CHECK(stands(old, at.files));
    }
    CHECK_NOTHROW(app::put_in_place(*fresh, at.files, 0ms));
}

TEST_CASE("one file for certificate and key gets both, by one rename") {
    const auto first = make_pair(), second = make_pair();
    place at;
    at.files.certificate = at.files.key = at.folder.path() / "both.pem";
    app::put_in_place(*first, at.files, 0ms);
    CHECK(stands(first, at.files));
    CHECK(standing(at.files)->names() == first->names());
    CHECK(mode_of(at.files.key) == 0600);

    at.files.certificate = at.folder.path() / "cert.pem";
    fs::create_symlink("both.pem", at.files.certificate);
    const renaming counted([](int) { return 0; });
    app::put_in_place(*second, at.files, 0ms);
    CHECK(renames == 1);
    CHECK(stands(second, at.files));
    CHECK(fs::is_symlink(at.files.certificate));
    CHECK(entries(at.folder.path()) == 2);
}

TEST_CASE("namesakes have one cname, in any case; the default's unless there is a name") {
    const app::pair_list configured{{"a", "a", "www.contoso.com"},
                                    {"b", "b", "API.contoso.com", "", "/certificates/0"},
                                    {"c", "c", "WWW.contoso.com", "", "/certificates/1"}};
    const auto pointers = [&](std::optional<std::string> cname) {
        std::string all;
        for (const auto& each : app::namesakes(configured, cname)) all += each.certificate;
        return all;
    };
    CHECK(pointers({}) == "ac");
    CHECK(pointers("www.Contoso.com") == "ac");
    CHECK(pointers("api.contoso.com") == "b");
    CHECK(pointers("contoso.com").empty());
    CHECK(app::namesakes({{"b", "b", "api.contoso.com", "", "/certificates/0"}}, {}).empty());
}

TEST_CASE("among namesakes the type of the key decides, then which one is missing") {
    using tests::key_kind;
    const auto ecdsa = make_pair(), rsa = make_pair(key_kind::rsa_2048), p384 = make_pair(key_kind::ec_p384);
    place a(ecdsa), b(rsa, "/certificates/0"), none(nullptr, "/certificates/1"), c(p384, "/certificates/2");
    const auto chosen = [](const pair_ptr& fresh, const app::pair_list& all) -> std::string {
        try {
            return app::place_for(*fresh, all, all).key;
        } catch (const app::no_place& told) {
            std::string named;
            for (const auto& each : all)
                if (std::string(told.what()).find(each.certificate + " and " + each.key) != std::string::npos)
                    named += each.pointer + "?";
            return named;
        }
    };
    CHECK(chosen(rsa, {a.files, b.files}) == b.files.key);
    CHECK(chosen(p384, {a.files, b.files}) == a.files.key); // P-256 and P-384 are one type
    CHECK(chosen(rsa, {a.files, none.files, b.files}) == b.files.key);
    CHECK(chosen(rsa, {a.files, none.files}) == none.files.key);
    CHECK(chosen(rsa, {a.files}) == a.files.key); // another type of key for the name
    CHECK(chosen(ecdsa, {b.files, a.files, c.files}) == "?/certificates/2?");
    CHECK(chosen(rsa, {a.files, c.files}) == "?/certificates/2?");
    fs::copy_file(a.files.key, b.files.key, fs::copy_options::overwrite_existing); // no pair any more
    CHECK(chosen(rsa, {a.files, b.files}) == b.files.key);
    CHECK(chosen(rsa, {a.files, b.files, none.files}) == "/certificates/0?/certificates/1?");
}

TEST_CASE("a file that another pair uses, too, is not replaced") {
    const auto pair = make_pair();
    place a(pair);
    tests::pem_directory links;
    const auto link = (links.path() / "tls.key").string();
    fs::create_symlink(a.files.key, link);
    const app::pair_list others{{"/other/cert.pem", a.files.key, "other", "", "/certificates/0"},
                                {"/other/cert.pem", link, "other", "", "/certificates/0"},
                                {a.files.certificate, "/other/key.pem", "other", "", "/certificates/0"},
                                {a.files.key, "/other/key.pem", "other", "", "/certificates/0"},
                                {"", "", "other", links.path(), "/certificates/0"}};
    for (const auto& other : others) {
        INFO(other.certificate << " " << other.key << " " << other.secret);
        CHECK_THROWS_WITH(app::place_for(*pair, {a.files}, {a.files, other}), Catch::Contains("/certificates/0"));
    }
    const config::certificate_files apart{"/other/cert.pem", "/other/key.pem", "other", "", "/certificates/0"};
    CHECK_NOTHROW(app::place_for(*pair, {a.files}, {a.files, apart}));
}
