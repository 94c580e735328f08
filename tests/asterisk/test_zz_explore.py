import pytest
from tests.asterisk.test_transfers import *
from tests.bed import measure

@pytest.mark.parametrize("n", range(1,5))
async def test_star2(scene: Scene, n) -> None:
    print(await scene.bed.pbx.rx("logger add channel dbg debug,verbose"))
    for m in ("audiohook.c","channel.c", "app_mixmonitor.c","bridge.c","bridge_channel.c","bridge_native_rtp.c","core_unreal.c","chan_pjsip.c","slinfactory.c"):
        print(await scene.bed.pbx.rx("core set debug 9 "+m))
    caller, agent = await talking(scene)
    mark = scene.ami.mark()
    await agent.press("*2")
    await scene.ami.wait_for(event("MusicOnHoldStart"), since=mark)
    await agent.hear(scene.file("agent"))
    await agent.press("302")
    second = await scene.far.ringing("302")
    await second.answer(SECOND)
    await second.hear(scene.file("second"))
    await scene.recording("302")
    await chat(500)
    if n:
        import asyncio,subprocess
        pr=await asyncio.create_subprocess_exec("timeout","-s","INT","3","gdb","-q","-batch","-p",str(scene.bed.pbx.pid),"-x","/tmp/w/g.py",stdout=open(f"/tmp/w/gdb{n}","wb"),stderr=subprocess.STDOUT)
        await pr.wait()
    await chat(1000)
    await agent.hangup()
    await chat()
    await second.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    tt = await scene.takes()
    for t in tt: print('TAKE', n,t.owner,t.facts.audio_ms, round(length_ms(t.talk)),round(length_ms(t.written)), round(t.lost_ms), [(f,t.tone_ms(f)) for f in (CALLER,AGENT,SECOND,620)])
    ah=await agent.heard(); sh=await second.heard()
    print('HEARD',n,'agent', [(f,measure.tone_ms(ah,f)) for f in (CALLER,620,AGENT,SECOND)],'second', [(f,measure.tone_ms(sh,f)) for f in (CALLER,620,AGENT,SECOND)])
    if tt[0].tone_ms(SECOND) < 1000:
        import shutil; shutil.copy(tt[0].audio,f'/tmp/w/bad{n}.wav')
        open(f'/tmp/w/bad{n}.events','w').write('\n'.join(str(dict(m)) for m in scene.ami.since(scene.mark) if m.event not in('Newexten','VarSet','Registry')))
    import shutil; shutil.copy(scene.bed.pbx.logs/'dbg', f'/tmp/w/dbg{n}')
    if 1:
        open(f'/tmp/w/bad{n}.log','w').write(scene.bed.pbx.log_text()[-60000:])
