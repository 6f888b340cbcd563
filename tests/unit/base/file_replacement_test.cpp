#include "base/file_replacement.hpp"

#include "support/certificates.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <grp.h>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vector>

using namespace scoregate;
using base::file_replacement;
namespace fs = std::filesystem;

namespace {

int link_error = 0; // what link(2) fails with, as it does on SMB and FAT

} // namespace

extern "C" int link(const char* from, const char* to) noexcept {
    if (link_error == 0) return ::linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
    errno = link_error;
    return -1;
}

namespace {

struct no_links {
    explicit no_links(int error) { link_error = error; }
    ~no_links() { link_error = 0; }
};

std::string content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}
mode_t mode_of(const fs::path& path) {
    struct stat now {};
    REQUIRE(::stat(path.c_str(), &now) == 0);
    return now.st_mode & 0777;
}
// The content of a new file that `someone` writes, as a process without other rights.
struct someone {
    uid_t user;
    gid_t group;
    std::vector<gid_t> more;
};
bool replace_as(const someone& who, const fs::path& path) {
    const auto child = ::fork();
    if (child == 0) {
        try {
            if (::setgroups(who.more.size(), who.more.data()) != 0 || ::setgid(who.group) != 0 ||
                ::setuid(who.user) != 0)
                ::_exit(2);
            file_replacement(path, "new", 0600).commit();
        } catch (...) {
            ::_exit(1);
        }
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// An access list as acl(5) has it: the owner, one more user, the group, what limits both, the others.
constexpr auto access_list = "system.posix_acl_access", handed_down = "system.posix_acl_default";
std::vector<std::uint16_t> list_of(std::uint16_t owner, std::uint16_t user, std::uint16_t group, std::uint16_t limit) {
    constexpr std::uint16_t none = 0xFFFF;
    return {2,     0,    1,    owner, none,  none, 2,    user, 1234, 0,    4,
            group, none, none, 0x10,  limit, none, none, 0x20, 0,    none, none};
}
bool set_list(const fs::path& path, const char* name, const std::vector<std::uint16_t>& list) {
    return ::setxattr(path.c_str(), name, list.data(), 2 * list.size(), 0) == 0;
}
std::vector<std::uint16_t> list_at(const fs::path& path) {
    std::vector<std::uint16_t> list(100);
    const auto size = ::getxattr(path.c_str(), access_list, list.data(), 2 * list.size());
    list.resize(size < 0 ? 0 : static_cast<std::size_t>(size) / 2);
    return list;
}

std::size_t entries(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
}

} // namespace

TEST_CASE("new content takes the place of the old in one step, with mode, and leaves nothing beside it") {
    tests::pem_directory folder;
    const auto path = folder.write("key.pem", "old");
    fs::permissions(path, fs::perms::owner_read | fs::perms::group_read);
    std::ifstream reader(path); // somebody is just reading it
    {
        file_replacement fresh(path, "new", 0600);
        CHECK(content_of(path) == "old");
        fresh.commit();
        CHECK(content_of(path) == "new");
    }
    CHECK(content_of(path) == "new");
    CHECK(mode_of(path) == 0440);
    CHECK(std::string(std::istreambuf_iterator<char>(reader), {}) == "old");
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a file that is not there yet gets the mode") {
    tests::pem_directory folder;
    const auto path = folder.path() / "key.pem";
    file_replacement(path, "new", 0640).commit();
    CHECK(content_of(path) == "new");
    CHECK(mode_of(path) == 0640);
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("without commit nothing has happened, after undo it has not either") {
    tests::pem_directory folder;
    const auto path = folder.write("cert.pem", "old"), absent = (folder.path() / "key.pem").string();
    { file_replacement dropped(path, "new", 0600); }
    CHECK(content_of(path) == "old");
    {
        file_replacement undone(path, "new", 0600), undone_too(absent, "new", 0600);
        undone.commit();
        undone_too.commit();
        CHECK(content_of(absent) == "new");
        undone.undo();
        undone_too.undo();
    }
    CHECK(content_of(path) == "old");
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("behind a symbolic link it is the file that is replaced, not the link") {
    tests::pem_directory folder;
    fs::create_directory(folder.path() / "archive");
    const auto real = folder.write("archive/cert1.pem", "old");
    const auto link = folder.path() / "cert.pem";
    fs::create_symlink("archive/cert1.pem", link);
    file_replacement(link, "new", 0600).commit();
    CHECK(fs::is_symlink(link));
    CHECK(content_of(real) == "new");
}

TEST_CASE("where nothing can be written the file is named") {
    tests::pem_directory folder;
    const auto nowhere = (folder.path() / "nowhere" / "cert.pem").string();
    std::optional<std::string> said;
    try {
        file_replacement fresh(nowhere, "new", 0600);
    } catch (const std::runtime_error& error) {
        said = error.what();
    }
    REQUIRE(said);
    CHECK_THAT(*said, Catch::Contains("nowhere"));
    CHECK(entries(folder.path()) == 0);
}

TEST_CASE("two that replace the same file at once do not meet before they commit") {
    tests::pem_directory folder;
    const auto path = folder.write("key.pem", "old");
    {
        file_replacement first(path, "first", 0600), second(path, "second", 0600);
        second.commit();
        CHECK(content_of(path) == "second");
        first.commit();
        CHECK(content_of(path) == "first");
    }
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("where a file cannot have a second name the way back is a copy, with mode") {
    tests::pem_directory folder;
    const std::string old(10'000, 'o');
    const auto path = folder.write("key.pem", old);
    ::chmod(path.c_str(), 0440);
    for (const int error : {EPERM, EOPNOTSUPP, EMLINK}) {
        const no_links on_this_file_system(error);
        file_replacement fresh(path, "new", 0600);
        CHECK(entries(folder.path()) == 3);
        fresh.commit();
        CHECK(content_of(path) == "new");
        CHECK(fresh.undo());
        CHECK(content_of(path) == old);
        CHECK(mode_of(path) == 0440);
    }
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("undo tells when it could not bring back what was there") {
    tests::pem_directory folder;
    const auto path = folder.write("inner", "");
    fs::remove(path);
    fs::create_directory(path);
    const auto key = folder.write("inner/key.pem", "old");
    file_replacement fresh(key, "new", 0600);
    fresh.commit();
    fs::rename(path, folder.path() / "away");
    CHECK_FALSE(fresh.undo());
}

TEST_CASE("nobody may do more with the new file than with the old") {
    if (::geteuid() != 0) {
        WARN("only root can become somebody else: skipped");
        return;
    }
    struct row {
        const char* what;
        someone who;
        uid_t owner; // before; the group is 50
        mode_t before, after;
        uid_t owner_after;
        gid_t group_after;
    };
    const row rows[] = {
        {"root keeps both", {0, 0, {}}, 1, 0660, 0660, 1, 50},
        {"one of the group keeps the group", {65534, 100, {50}}, 0, 0660, 0660, 65534, 50},
        {"another group gets nothing", {65534, 100, {}}, 65534, 0660, 0600, 65534, 100},
        {"the others keep what the group had, too", {65534, 100, {}}, 0, 0644, 0604, 65534, 100},
        {"the old group is of the others now", {65534, 100, {}}, 0, 0604, 0600, 65534, 100},
    };
    for (const auto& row : rows) {
        INFO(row.what);
        tests::pem_directory folder;
        fs::permissions(folder.path(), fs::perms::all);
        const auto path = folder.write("key.pem", "old");
        REQUIRE(::chown(path.c_str(), row.owner, 50) == 0);
        REQUIRE(::chmod(path.c_str(), row.before) == 0);
        REQUIRE(replace_as(row.who, path));
        CHECK(content_of(path) == "new");
        struct stat now {};
        REQUIRE(::stat(path.c_str(), &now) == 0);
        CHECK((now.st_mode & 07777) == row.after);
        CHECK(now.st_uid == row.owner_after);
        CHECK(now.st_gid == row.group_after);
    }
}

TEST_CASE("an access list stays, and the folder's does not come instead") {
    tests::pem_directory folder;
    const auto path = folder.write("key.pem", "old"), plain = folder.write("cert.pem", "old");
    const auto list = list_of(6, 4, 0, 4);
    if (!set_list(path, access_list, list)) {
        WARN("the file system has no access lists: skipped");
        return;
    }
    REQUIRE(set_list(folder.path(), handed_down, list_of(7, 7, 7, 7)));
    ::chmod(plain.c_str(), 0640);
    file_replacement(path, "new", 0600).commit();
    file_replacement(plain, "new", 0600).commit();
    CHECK(list_at(path) == list);
    CHECK(list_at(plain).empty());
    CHECK(mode_of(path) == 0640);
    CHECK(mode_of(plain) == 0640);
}
