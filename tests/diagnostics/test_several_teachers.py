"""The check of a student and two teachers: a column and an accuracy of each, and their mistakes."""

from digit_networks import RESNET, table


def ensemble(**members):
    """Changes of a config's model."""
    members = {name: dict(network, _scope_='mmpretrain') for name, network in members.items()}
    return dict(type='mmrazor.TeacherEnsemble', members=members)


def test_each_teacher_is_judged(run, write, save, trained):
    """One knows the digits, and one has weights as they are drawn."""
    paths = dict(good=str(trained), drawn=str(save(RESNET)))
    path = write(teacher=ensemble(good=RESNET, drawn=RESNET), model=dict(teacher_ckpt=paths))
    status, text = run(path)
    rows = table(text)
    assert rows['network'] == ['CifarResNet'] * 3
    assert list(rows)[0] == '' and text.split()[:3] == ['student', 'good', 'drawn']
    words = ' '.join(text.split())
    # Weak, or so weak that it guesses.
    assert "the teacher 'drawn' is" in words and "the teacher 'good' is" not in words
    assert status == ("write: model.teacher_ckpt.drawn='PATH or URL" in words)
    right = int(rows['good accuracy'][0].split()[2])
    assert right > 200


def test_a_teacher_without_weights(run, write, save):
    members = ensemble(known=RESNET, large=RESNET)
    paths = dict(known=str(save(RESNET)), large='no.pth')
    status, text = run(write(teacher=members, model=dict(teacher_ckpt=paths)))
    words = ' '.join(text.split())
    assert status == 1 and "problem: model.teacher_ckpt.large: 'no.pth' does not exist" in words
    assert "write: model.teacher_ckpt.large='PATH or URL" in words
    paths = dict(known=paths['known'])
    status, text = run(write(teacher=members, model=dict(teacher_ckpt=paths)))
    words = ' '.join(text.split())
    assert status == 1 and "problem: the teacher 'large' has no checkpoint" in words
